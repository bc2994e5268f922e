"""The read model of every search: `fold` events, `query` takes words apart, `reads` answer."""
