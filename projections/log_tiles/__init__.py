"""The read model of the transparency log: `form` an entry, `fold` entries into `merkle` tiles."""
