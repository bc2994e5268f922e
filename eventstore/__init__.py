"""Append to the log and read it: Application, Mapper, recorders, blobs, credentials.

May import `domain`. The only folder that knows the `eventsourcing` library.
"""
