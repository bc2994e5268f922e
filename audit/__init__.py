"""Replay and history of the log. May import everything that `projections` may, and it."""
