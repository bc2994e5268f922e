"""The key that snapshots are sealed with: a file of a node, outside the database (ADR 0043).

Whoever can write the database alone cannot make a snapshot that is believed. Without the file, or
with another one, streams are folded from their events.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from packledger.domain.errors import Unavailable

KEY_BYTES = 32


def snapshot_key(path: Path) -> bytes:
    """Return the key in a file, which is made if there is none.

    Raises:
        Unavailable: the file is not one.
        OSError: it cannot be read or made.
    """
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Unavailable(f"`{path}` is damaged; remove it, then another one is made")
    return key


def _make(path: Path) -> None:
    """Make the file whole, or leave another process's: all of a node have the same key."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    with suppress(FileExistsError):
        path.hardlink_to(temporary)
    temporary.unlink()
