"""The store of a cluster: one PostgreSQL database. What only PostgreSQL needs goes here."""
