"""A registry's log as its signer sees it from another machine: over HTTP, nothing but the log.

The key stays on that machine. What it sends is a signed checkpoint, and that signature is what the
registry believes (`PUT /log/checkpoint`).
"""

import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import msgspec

from packledger.audit.translog.checkpoint import parse_checkpoint
from packledger.audit.translog.notes import BadNote, parse_note
from packledger.audit.translog.tile_paths import tile_path
from packledger.domain.errors import Invalid, Unavailable
from packledger.eventstore.checkpoints import CheckpointRow
from packledger.projections.log_tiles.fold import LOG_TILES

TIMEOUT_S = 10.0
LOOK_S = 1.0
"""How often the size is asked for: a checkpoint is made once a second at most."""
ANSWER_LIMIT_BYTES = 256 * 1024
_KINDS = {"http": HTTPConnection, "https": HTTPSConnection}


class _Tiles(msgspec.Struct, frozen=True):
    position: int


class _Health(msgspec.Struct, frozen=True):
    projections: dict[str, _Tiles]


class ServedLog:
    """The log below a registry's URL. token: for a private registry. One thread's."""

    def __init__(
        self, url: str, token: str = "", clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._url, self._token, self._clock_s = url.rstrip("/"), token, clock_s
        try:
            parts = urlsplit(self._url)
            self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        except ValueError:
            self._host = ""
        if not self._host or parts.scheme not in _KINDS:
            raise Invalid(
                f"`{url}` is no URL of a registry, such as `https://registry.example.com`"
            )
        self._kind = _KINDS[parts.scheme]
        self._size, self._asked_s = 0, float("-inf")

    def size(self) -> int:
        """Return how many entries the registry's tiles have.

        Raises:
            Unavailable: it does not say.
        """
        now_s = self._clock_s()
        if now_s - self._asked_s >= LOOK_S:
            _, body = self._ask("GET", "/health", accepted=(200, 503))
            try:
                tiles = msgspec.json.decode(body, type=_Health).projections[LOG_TILES]
            except (msgspec.DecodeError, KeyError) as error:
                raise Unavailable(f"`{self._url}` has no log, or is no registry") from error
            self._size, self._asked_s = tiles.position, now_s
        return self._size

    def size_seen(self) -> int | None:
        """Return the same, None if it cannot be had."""
        try:
            return self.size()
        except Unavailable:
            return None

    def tile(self, level: int, index: int, width: int) -> bytes | None:
        """Return the first `width` hashes of a tile, None if they are not there.

        Raises:
            Unavailable: the registry does not answer.
        """
        status, body = self._ask(
            "GET", f"/log/tile/{level}/{tile_path(index, width)}", accepted=(200, 404)
        )
        return body if status == 200 else None

    def checkpoint(self) -> str:
        """Return the checkpoint that is served, empty when there is none yet."""
        status, body = self._ask("GET", "/log/checkpoint", accepted=(200, 404))
        return body.decode(errors="replace") if status == 200 else ""

    def vkey(self) -> str:
        """Return the key that the registry wants it signed with, empty when it does not say."""
        status, body = self._ask("GET", "/log/vkey", accepted=(200, 404))
        return body.decode(errors="replace").strip() if status == 200 else ""

    def publish(self, note: str) -> None:
        """Have a checkpoint served.

        Raises:
            Unavailable: the registry refuses it, or does not answer.
        """
        self._ask("PUT", "/log/checkpoint", note.encode(), accepted=(204,))

    def _ask(
        self, method: str, path: str, body: bytes | None = None, *, accepted: Sequence[int]
    ) -> tuple[int, bytes]:
        connection = self._kind(self._host, self._port, timeout=TIMEOUT_S)
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.request(method, f"{self._path}{path}", body, headers)
            response = connection.getresponse()
            answer = response.read(ANSWER_LIMIT_BYTES)
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"`{self._url}` does not answer: {error}") from error
        finally:
            connection.close()
        if response.status not in accepted:
            said = answer[:300].decode(errors="replace")
            raise Unavailable(f"`{self._url}{path}` answered {response.status}: {said}")
        return response.status, answer


class ServedCheckpoints:
    """Checkpoints of a log that is served elsewhere, as the signer knows those beside a log.

    A refusal to sign stays here; the registry serves what it has. ours: the keys that sign, the
    newest first.
    """

    def __init__(self, log: ServedLog, ours: Callable[[], Sequence[str]]) -> None:
        self._log, self._ours = log, ours
        self._row = CheckpointRow(0)

    def read(self) -> CheckpointRow:
        """Return what is served, and what was refused here."""
        served, ours = self._log.checkpoint(), self._ours()
        wanted = self._log.vkey()
        vkey = ours[0] if wanted in ours else wanted
        # What is signed but waits for witnesses is not served yet.
        signed = max((served, self._row.signed), key=_size_of)
        self._row = CheckpointRow(
            self._row.number, signed, served, vkey if signed else "", self._row.refusal
        )
        return self._row

    def replace(self, row: CheckpointRow) -> bool:
        """Have another checkpoint served, if it is another one."""
        if row.published and row.published != self._row.published:
            self._log.publish(row.published)
        self._row = row
        return True


def _size_of(note: str) -> int:
    try:
        return parse_checkpoint(parse_note(note.encode()).text).size if note else -1
    except BadNote:
        return -1
