"""A blob on its way from an S3 server: checked against its digest while it is read, if whole."""

import hashlib
import io
from typing import Any

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs.s3_client import s3_errors_as_refusals
from packledger.eventstore.blobs.settings import S3
from packledger.eventstore.blobs.store import DamagedBlob


class BodyReader(io.RawIOBase):
    """The body of an answer, as many bytes as were asked for."""

    def __init__(self, bucket: S3, body: Any, size_bytes: int) -> None:
        self._bucket, self._body = bucket, body
        self._left = size_bytes

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return how many bytes.

        Raises:
            Unavailable: the server broke off, or says nothing any more.
        """
        wanted = memoryview(buffer).nbytes
        piece = b""
        if self._left and wanted:
            with s3_errors_as_refusals(self._bucket):
                piece = self._body.read(min(wanted, self._left))
            if not piece:
                raise Unavailable("the blob store broke off in the middle of a file; try again")
        self._left -= len(piece)
        self._check(piece)
        buffer[: len(piece)] = piece
        return len(piece)

    def _check(self, piece: bytes) -> None:
        """Look at a piece before anybody gets it."""

    def close(self) -> None:
        """End the answer: a connection with bytes still to come is not used again."""
        if not self.closed:
            self._body.close()
        super().close()


class VerifiedReader(BodyReader):
    """A whole blob; its last bytes are given only if all of them have the digest.

    So whoever copies it has fewer bytes than announced when the object is damaged, never wrong
    ones that look whole.
    """

    def __init__(self, bucket: S3, body: Any, digest: str, size_bytes: int) -> None:
        super().__init__(bucket, body, size_bytes)
        self._digest, self._sha256 = digest, hashlib.sha256()

    def _check(self, piece: bytes) -> None:
        """Compare the digest at the end.

        Raises:
            DamagedBlob: the object is not what was stored.
        """
        self._sha256.update(piece)
        if self._left == 0 and self._sha256.hexdigest() != self._digest:
            raise DamagedBlob(self._digest)
