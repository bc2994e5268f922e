"""The read model of the web pages: `fold` events to rows, `form` details, `reads` answer."""
