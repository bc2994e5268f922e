"""The read model of npm's packuments: `fold` events, `form` both documents, `reads` answer."""
