"""The bytes inside a gzip file, streamed, counted and refused where readers disagree.

zlib-ng inflates in half of zlib's time and refuses just what zlib does, which npm has, too.
Source: https://www.rfc-editor.org/rfc/rfc1952
"""

from typing import BinaryIO

from zlib_ng import zlib_ng

from packledger.domain.errors import Invalid, TooLarge

_READ_BYTES = 64 << 10
_PIECE_BYTES = 256 << 10
_MAGIC = b"\x1f\x8b"


def damaged(why: str) -> Invalid:
    """Return the refusal of an archive that cannot be read in one way only."""
    return Invalid(f"the archive is damaged or not a gzip-compressed tar: {why}; pack it again")


class GzipStream:
    """The tar stream inside the gzip file, counted."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file = file
        self._zlib = zlib_ng.decompressobj(wbits=31)
        self._max_bytes = max_bytes
        self._count = 0
        self._buffer = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return exactly `size` bytes."""
        data = self.up_to(size)
        if len(data) < size:
            raise damaged("it ends too early")
        return data

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        have = len(self._buffer) - self._at
        while size > have:
            size -= have
            if not self._fill():
                raise damaged("it ends too early")
            have = len(self._buffer)
        self._at += size

    def end(self) -> None:
        """Check that only blocks of zeros follow: tar-rs stops at the first, others read on."""
        rest = self._buffer[self._at :]
        while True:
            if rest.count(0) != len(rest):
                raise damaged("data follows its end mark")
            if not self._fill():
                break
            rest = self._buffer
        if self._count % 512:
            raise damaged("it ends inside a block")

    def up_to(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        start, end = self._at, self._at + size
        if end <= len(self._buffer):
            self._at = end
            return self._buffer[start:end]
        pieces = [self._buffer[start:]]
        missing = end - len(self._buffer)
        self._at = len(self._buffer)
        while missing > 0 and self._fill():
            pieces.append(self._buffer[:missing])
            self._at = len(pieces[-1])
            missing -= self._at
        return b"".join(pieces)

    def _fill(self) -> bool:
        """Put the next piece into the buffer, at its start; false at the end."""
        while not self._zlib.eof:
            data = self._zlib.unconsumed_tail or self._file.read(_READ_BYTES)
            try:
                piece = self._zlib.decompress(data, _PIECE_BYTES)
            except zlib_ng.error as error:  # type: ignore[misc]
                raise damaged("its compressed data cannot be read") from error
            if piece:
                self._count += len(piece)
                if self._count > self._max_bytes:
                    raise TooLarge(f"the archive unpacks to more than {self._max_bytes} bytes")
                self._buffer, self._at = piece, 0
                return True
            if not data and not self._zlib.eof:
                raise damaged("it ends too early")
        self._check_rest()
        self._buffer, self._at = b"", 0
        return False

    def _check_rest(self) -> None:
        """Refuse what follows the compressed part unless it is zeros, as tapes have them."""
        rest = self._zlib.unused_data
        if len(rest) < len(_MAGIC):
            rest += self._file.read(_READ_BYTES)
        if rest.startswith(_MAGIC):
            raise Invalid(
                "the archive is a gzip file of several members, of which cargo and pnpm unpack the "
                "first alone; pack it again as one"
            )
        while rest:
            if rest.count(0) != len(rest):
                raise damaged("data follows the compressed part")
            rest = self._file.read(_READ_BYTES)
