"""How events become what clients read: a folder for each read model, and what drives them all.

May import `domain`, `eventstore` and `feeds`. Another read model is a folder with `fold` (rows from
events), `form` (bytes from rows) and `reads` (questions).
"""
