"""How events travel from the log to the projectors. May import `domain` and `eventstore`."""
