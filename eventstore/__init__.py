"""Append to the log and read it; keep blobs and credentials.

The only folder that knows the `eventsourcing` library. `log` and `store` say what a database must
give; a folder for each gives it. May import `domain`.
"""
