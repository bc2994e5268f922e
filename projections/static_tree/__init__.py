"""Index and packuments as files for nginx, written behind the other read models."""
