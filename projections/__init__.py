"""How events become the bytes that clients read: one module per projection, and their projector.

May import `domain`, `eventstore` and `feeds`. Rendering is pure functions.
"""
