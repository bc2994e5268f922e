"""What a user may do: read an upload, store blobs, ask the domain, append, wait.

A folder for each ecosystem, and what both need beside them. Shared by `api` and `cli`; may import
every folder to its left.
"""
