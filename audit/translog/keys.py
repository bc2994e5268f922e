"""The files of the one process that signs the log, in its data directory.

    log.key      the private keys, one a line, the newest first; every one of them signs
    log.signed   the newest checkpoint that they signed

`log.signed` is not in the event store's backup, on purpose: an event store that was restored from
an older backup than this directory is noticed by it.
"""

import os
from pathlib import Path

from packledger.audit.translog.notes import BadNote, SignerKey, new_key, parse_signer
from packledger.domain.errors import Conflict, NotFound, Unavailable
from packledger.eventstore.blobs.store import sync_directory


class LogKeys:
    """The keys and the memory of a signer. path: of the keys."""

    def __init__(self, folder: Path) -> None:
        self.path, self._signed = folder / "log.key", folder / "log.signed"

    def create(self, origin: str) -> None:
        """Make the first key, unless there is one."""
        if not self.path.exists():
            self._write(self.path, f"{new_key(origin).encoded()}\n")

    def all(self) -> list[SignerKey]:
        """Return the keys that sign, the newest first.

        Raises:
            NotFound: there is none.
            Unavailable: the file is damaged.
        """
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError as error:
            raise NotFound(
                f"there is no log key at `{self.path}`; it is made where the log is first signed, "
                "by `packledger serve` or `packledger sign`"
            ) from error
        try:
            return [parse_signer(line) for line in lines]
        except BadNote as error:
            raise Unavailable(
                f"`{self.path}` is damaged: {error}; restore it from a backup"
            ) from error

    def stamp(self) -> tuple[int, int]:
        """Return what changes when the keys are replaced."""
        status = self.path.stat()
        return status.st_ino, status.st_mtime_ns

    def rotate(self) -> SignerKey:
        """Put a new key before the others, which go on signing until they are retired."""
        keys = self.all()
        return self._replace([new_key(keys[0].verifier.name), *keys])[0]

    def retire(self, key_id: str) -> None:
        """Sign no more with an older key. key_id: eight hex digits.

        Raises:
            NotFound: no such key signs.
            Conflict: it is the newest one.
        """
        keys = self.all()
        kept = [key for key in keys if key.verifier.key_id.hex() != key_id]
        if len(kept) == len(keys):
            raise NotFound(
                f"no key `{key_id}` signs the log; `packledger log key --all` lists them"
            )
        if kept[:1] != keys[:1]:
            raise Conflict(f"`{key_id}` is the newest key; run `packledger log rotate` before")
        self._replace(kept)

    def restart(self) -> SignerKey:
        """Begin with a new key alone, and remember nothing of what the old ones signed."""
        key = self._replace([new_key(self.all()[0].verifier.name)])[0]
        self._signed.unlink(missing_ok=True)
        return key

    def _replace(self, keys: list[SignerKey]) -> list[SignerKey]:
        self._write(self.path, "".join(f"{key.encoded()}\n" for key in keys))
        return keys

    def remembered(self) -> str:
        """Return the newest note that was signed here, empty when there is none."""
        try:
            return self._signed.read_text()
        except FileNotFoundError:
            return ""

    def remember(self, note: str) -> None:
        """Keep the newest note; durable on return."""
        self._write(self._signed, note)

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_name(f"{path.name}.new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_directory(path.parent)
