"""Take apart the body of `cargo publish` as it arrives.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish
"""

from typing import Protocol

import msgspec

from packledger.domain.errors import Invalid, TooLarge

MAX_METADATA_BYTES = 1 << 20
"""crates.io's limit; it holds the whole README."""

_LENGTH_BYTES = 4


class Sink(Protocol):
    """Where the `.crate` goes."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


class CrateMetadata(msgspec.Struct, frozen=True):
    """What is read of the JSON; all else is ignored, since the archive itself says it."""

    name: str
    vers: str
    readme: str | None = None


class CrateUpload:
    """Parses `u32le length, JSON, u32le length, .crate`, however the body is cut into chunks.

    metadata: None until the JSON is there, so that a caller may refuse a name before the archive
    arrives; size_bytes: of the `.crate`, None until its length is there.
    """

    def __init__(self, sink: Sink, max_crate_bytes: int) -> None:
        self.metadata: CrateMetadata | None = None
        self.size_bytes: int | None = None
        self._sink = sink
        self._max_crate_bytes = max_crate_bytes
        self._head = bytearray()
        self._json_bytes: int | None = None
        self._left = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, in chunks of any size.

        Raises:
            Invalid: the JSON is wrong, or the body is longer than its lengths say.
            TooLarge: the JSON or the `.crate` is over its limit; said as soon as its length is
                there.
        """
        if self.size_bytes is None:
            self._head += chunk
            chunk = self._read_head()
        if not chunk:
            return
        self._left -= len(chunk)
        if self._left < 0:
            raise _wrong_lengths(f"it goes on for {-self._left} bytes or more after its end")
        self._sink.write(chunk)

    def finish(self) -> None:
        """Check that the body is whole.

        Raises:
            Invalid: it was cut.
        """
        if self.size_bytes is None:
            raise _wrong_lengths("it ends before the `.crate`")
        if self._left:
            raise _wrong_lengths(f"{self._left} bytes are missing at its end")

    def _read_head(self) -> bytes:
        """Read what there is of the part before the `.crate`; return what belongs to that."""
        if self._json_bytes is None:
            length = self._length_at(0)
            if length is None:
                return b""
            if length > MAX_METADATA_BYTES:
                raise TooLarge(
                    f"the metadata of the upload has {length} bytes; {MAX_METADATA_BYTES} are "
                    "allowed, shorten the README"
                )
            self._json_bytes = length
        json_end = _LENGTH_BYTES + self._json_bytes
        if self.metadata is None and len(self._head) >= json_end:
            self.metadata = _metadata(bytes(self._head[_LENGTH_BYTES:json_end]))
        size = self._length_at(json_end)
        if size is None:
            return b""
        if size > self._max_crate_bytes:
            raise TooLarge(
                f"the crate file has {size} bytes; {self._max_crate_bytes} are allowed, exclude "
                "large files from the package"
            )
        self.size_bytes = self._left = size
        rest = bytes(self._head[json_end + _LENGTH_BYTES :])
        self._head.clear()
        return rest

    def _length_at(self, at: int) -> int | None:
        field = self._head[at : at + _LENGTH_BYTES]
        return int.from_bytes(field, "little") if len(field) == _LENGTH_BYTES else None


def _metadata(json: bytes) -> CrateMetadata:
    try:
        return msgspec.json.decode(json, type=CrateMetadata)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(
            f"the metadata of the upload cannot be read: {str(error)[:200]}; publish with cargo"
        ) from error


def _wrong_lengths(how: str) -> Invalid:
    return Invalid(f"the body of the publish request is damaged: {how}; publish again")
