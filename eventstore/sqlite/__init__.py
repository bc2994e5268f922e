"""The store of the embedded registry: one SQLite file. What only SQLite needs goes here."""
