"""What a user may do: read an upload, store blobs, ask the domain, append, wait.

Shared by `api` and `cli`. May import every folder but those two.
"""
