"""Wakes whoever waits in another process: a number in a mapped file, and the kernel's futex on it.

A bell is only a hint: who waits looks at what it waits for, before and after, and now and then in
between. Source: https://man7.org/linux/man-pages/man2/futex.2.html
"""

import ctypes
import mmap
import os
import platform
import time
from pathlib import Path

from packledger.eventstore.mapped_file import map_shared

LOOK_S = 0.05
"""Whoever changes something may die before it rings."""
POLL_S = 0.0005
"""How often to look where there is no futex."""

_WORD_BYTES = 4
_WAIT, _WAKE, _EVERYBODY = 0, 1, 2**31 - 1
_SYSCALLS = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}
"""Its number, by machine; all of 64 bits."""
_FUTEX = _SYSCALLS.get(platform.machine())


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def _system_call() -> "ctypes._NamedFuncPointer":
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    call.argtypes = (
        *(ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32),
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int),
    )
    return call


class Bell:
    """One 32-bit number in a mapped file. For any thread."""

    def __init__(self, mapped: mmap.mmap, at: int = 0) -> None:
        self._word = ctypes.c_uint32.from_buffer(mapped, at)
        self._address = ctypes.addressof(self._word)
        self._call = _system_call()

    def rung(self) -> int:
        """Return a number that changes when the bell rings: ask before you look."""
        return self._word.value

    def ring(self) -> None:
        """Wake everybody who waits. Two at once may count as one; both have changed things."""
        self._word.value = (self._word.value + 1) & 0xFFFFFFFF
        if _FUTEX is not None:
            self._call(_FUTEX, self._address, _WAKE, _EVERYBODY, None, None, 0)

    def wait(self, rung: int, timeout_s: float = LOOK_S) -> None:
        """Block until the bell rings, if it has not since `rung` was asked for.

        At most `LOOK_S`, or until a signal comes, or for no reason: look, and wait again.
        """
        timeout_s = min(timeout_s, LOOK_S)
        if _FUTEX is None:
            if self._word.value == rung:
                time.sleep(min(timeout_s, POLL_S))
            return
        until = _Timespec(int(timeout_s), int(timeout_s % 1 * 1e9))
        self._call(_FUTEX, self._address, _WAIT, rung, ctypes.byref(until), None, 0)

    def release(self) -> None:
        """Let the map be closed."""
        del self._word


class BellFile:
    """A bell in a file of its own, made when missing."""

    def __init__(self, path: Path) -> None:
        self._map, fd = map_shared(path, _WORD_BYTES)
        os.close(fd)
        self.bell = Bell(self._map)

    def close(self) -> None:
        """Unmap the file; the bell must not be used any more."""
        self.bell.release()
        self._map.close()
