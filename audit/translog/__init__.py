"""The transparency log: who signs it, what is signed, and how others check it."""
