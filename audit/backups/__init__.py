"""Copies of a registry: made, restored, and used to mend what is damaged."""
