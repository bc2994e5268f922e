"""Small files that processes share by mapping them: boards, counters, bells."""

import mmap
import os
from pathlib import Path


def map_shared(path: Path, size_bytes: int) -> tuple[mmap.mmap, int]:
    """Return a mapped file, made of zeros when it is missing, and its descriptor, for locks.

    Whoever needs no lock may close the descriptor: the map has one of its own.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Not a hole: on a full disk the first write to one would end the process (SIGBUS).
        os.posix_fallocate(fd, 0, size_bytes)
        return mmap.mmap(fd, size_bytes), fd
    except BaseException:
        os.close(fd)
        raise
