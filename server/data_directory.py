"""A data directory is its owner's alone, whoever runs a command on it (ADR 0048).

Nobody else reads the log, its read models and its keys; what a command creates belongs to whom the
rest belongs; and a directory that is no registry stays as it is.
"""

import logging
import os
import pwd
import re
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from packledger.domain.errors import Conflict, NotFound, Unavailable
from packledger.server.settings.settings import Settings
from packledger.server.stores import Places

log = logging.getLogger("packledger.data")

_MARKS = ("events.sqlite", "run/board", "log.key")
"""One of them is in every data directory, and hardly in another one."""
_OURS = re.compile(r"(events|log|snapshot)\..+|blobs|read|run|\.restoring-.+")
_BEGINNINGS = {"tmp", "begin.lock", "project.lock", "web.lock", "sign.lock"}
"""What another process of the same new node may have left in `run` so far."""
_FOREIGN_MODE = 0o077


def enter(settings: Settings, *, creates: bool = False) -> None:
    """Prepare this process for work on the data directory, which is created if need be.

    Raises:
        NotFound: there is no registry, and none is to be created.
        Conflict: there is something else.
        Unavailable: it cannot be used, or not be kept from others; nothing was created.
    """
    data = Path(settings.data)
    if not creates and not _is_registry(data):
        raise NotFound(
            f"there is no registry in `{data}`; check --data, or start one with `packledger serve`"
        )
    if not _is_registry(data):
        _check_free(data)
    own(data)
    _check_writable(data)
    places = Places(data)
    places.create()
    # Also of SQLite, and of the processes that we start: there may be no other place to write.
    os.environ["TMPDIR"] = tempfile.tempdir = str(places.temporary.absolute())


def keep_private() -> None:
    """Let nobody else use what this process and those that it starts create."""
    os.umask(_FOREIGN_MODE)


def own(data: Path) -> None:
    """Become who owns what is in a directory, and keep others out of it from now on.

    Raises:
        Unavailable: it is not possible.
    """
    keep_private()
    _become(_owner(data))
    if not data.is_dir():
        return
    names = [path.name for path in data.iterdir()]
    if _is_registry(data):
        for name in filter(_OURS.fullmatch, names):
            _narrow(data / name)
    status = data.stat()
    if status.st_uid == os.geteuid() and all(map(_OURS.fullmatch, names)):
        _narrow(data)
    elif status.st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise Unavailable(
            f"everybody may write into `{data}`: have its owner, {name_of(status.st_uid)}, run "
            "`chmod o-w` on it, or name a directory inside"
        )


def _is_registry(data: Path) -> bool:
    return any((data / mark).exists() for mark in _MARKS)


def _owner(data: Path) -> os.stat_result | None:
    """Return whose the files are; a volume's own directory may be root's."""
    for path in (*(data / mark for mark in _MARKS), data):
        with suppress(FileNotFoundError, NotADirectoryError):
            return path.stat()
    return None


def _become(owner: os.stat_result | None) -> None:
    """Give up root's rights for those of the owner, whose node could not read what we create."""
    if owner is None or os.geteuid() != 0 or owner.st_uid == 0:
        return
    group = owner.st_gid
    try:
        try:
            account = pwd.getpwuid(owner.st_uid)
            group = account.pw_gid
            os.initgroups(account.pw_name, group)
        except KeyError:
            os.setgroups([group])
        os.setgid(group)
        os.setuid(owner.st_uid)
    except PermissionError as error:
        raise Unavailable(
            f"this registry belongs to {name_of(owner.st_uid)}, and root may not become that here; "
            "run this as that user"
        ) from error
    if not all(os.access(path, os.R_OK) for path in (os.__file__, __file__)):
        raise Unavailable(
            f"this registry belongs to {name_of(owner.st_uid)}, who cannot read the program below "
            f"`{sys.prefix}`; install it where everybody can, or run this as that user"
        )


def _narrow(path: Path) -> None:
    """Take from everybody else what they may do with a file or folder of ours."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _FOREIGN_MODE:
        return
    with suppress(PermissionError):
        path.chmod(mode & ~_FOREIGN_MODE)
    if path.stat().st_mode & _FOREIGN_MODE:
        raise Unavailable(
            f"others may use `{path}` (mode {mode:04o}), and {name_of(os.geteuid())} cannot change "
            f"that: have its owner, {name_of(path.stat().st_uid)}, run `chmod go=` on it, or move "
            "the data directory to a file system that keeps modes"
        )
    log.warning("others could use `%s` (mode %04o); now its owner alone can", path, mode)


def _check_free(data: Path) -> None:
    """Refuse to mix a new registry with what has the names of its parts, such as `/run`."""
    if not data.is_dir():
        if data.exists():
            raise Conflict(f"`{data}` is not a directory; choose another --data")
        return
    for path in data.iterdir():
        if _OURS.fullmatch(path.name) and not _is_beginning(path):
            if _is_registry(data):  # by now: processes of a new node start together
                return
            raise Conflict(
                f"there is a `{path.name}` in `{data}`, but no registry; choose another --data"
            )


def _is_beginning(path: Path) -> bool:
    """Whether this part of a registry is as empty as it is before the board is there."""
    return path.is_dir() and {one.name for one in path.iterdir()} <= _BEGINNINGS


def _check_writable(data: Path) -> None:
    """Say what a dozen failures later would not."""
    nearest = next(path for path in (data, *data.absolute().parents) if path.exists())
    if os.statvfs(nearest).f_flag & os.ST_RDONLY:
        raise Unavailable(
            f"`{data}` is on a file system that is mounted read-only, and even reading needs "
            "locks there; mount it writable, or choose another --data"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise Unavailable(
            f"{name_of(os.geteuid())} may not write into `{nearest}`; run this as its owner, "
            f"{name_of(nearest.stat().st_uid)}, or choose another --data"
        )


def name_of(uid: int) -> str:
    """Return a user's name for a sentence."""
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"
