"""What runs on a node, one module a process, and the supervisor of them all."""
