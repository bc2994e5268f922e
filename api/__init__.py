"""Falcon: parses requests and answers them, decides nothing. May import all but `cli`."""
