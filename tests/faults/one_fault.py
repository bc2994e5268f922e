"""A step that fails once: before it did anything, or after it really happened."""

import errno
import io
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BEFORE, AFTER = "raises", "raises after persisting"
WHENS = (BEFORE, AFTER)


class Fault:
    """Raises `error` at the nth call of what it wraps, once it is armed."""

    def __init__(self, when: str, error: Exception, nth: int = 1) -> None:
        self.when, self.error, self.nth = when, error, nth
        self._left = 0
        self.fired = False

    def arm(self) -> None:
        self._left = self.nth

    def wrap(self, real: Callable[..., Any], only: Callable[..., bool] | None = None) -> Any:
        """Return `real` with the fault in it; only: which calls count."""

        def faulty(*arguments: Any, **named: Any) -> Any:
            mine = self._mine(only is None or only(*arguments))
            if mine and self.when == BEFORE:
                raise self.error
            result = real(*arguments, **named)
            if mine:
                raise self.error
            return result

        return faulty

    def _mine(self, counts: bool) -> bool:
        if not counts or self._left == 0:
            return False
        self._left -= 1
        self.fired = self._left == 0
        return self.fired


def break_upload_writes(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    real = Path.open

    class Faulty(io.FileIO):
        write = fault.wrap(io.FileIO.write)

    def opened(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        return Faulty(path, "x+") if mode == "x+b" else real(path, mode, *arguments, **named)

    patch.setattr(Path, "open", opened)


def break_fdatasync(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fdatasync", fault.wrap(os.fdatasync))


def break_rename(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "rename", fault.wrap(Path.rename))


def break_fsync(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", fault.wrap(os.fsync))


def break_commit(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    """Of connections that are opened from now on."""
    real = sqlite3.connect

    class Faulty(sqlite3.Connection):
        execute = fault.wrap(
            sqlite3.Connection.execute, only=lambda db, statement, *_: statement == "COMMIT"
        )

    def connected(*arguments: Any, **named: Any) -> sqlite3.Connection:
        return real(*arguments, **({"factory": Faulty} | named))

    patch.setattr(sqlite3, "connect", connected)


def disk_full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def io_error() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))
