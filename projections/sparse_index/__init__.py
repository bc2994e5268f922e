"""The read model of cargo's sparse index: `fold` events to rows, `form` an entry's line."""
