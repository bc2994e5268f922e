"""The registry as it was at a position: to read, and to export."""
