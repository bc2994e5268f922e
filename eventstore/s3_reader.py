"""A blob on its way from an S3 server: checked against its digest while it is read."""

import hashlib
import io
from typing import Any

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs import DamagedBlob
from packledger.eventstore.s3_client import Bucket, s3_errors_as_refusals


class VerifiedReader(io.RawIOBase):
    """The body of an answer; its last bytes are given only if all of them have the digest.

    So whoever copies it has fewer bytes than announced when the object is damaged, never wrong
    ones that look whole.
    """

    def __init__(self, bucket: Bucket, body: Any, digest: str, size_bytes: int) -> None:
        self._bucket, self._body, self._digest = bucket, body, digest
        self._left = size_bytes
        self._sha256 = hashlib.sha256()

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return how many bytes.

        Raises:
            DamagedBlob: the object is not what was stored.
            Unavailable: the server broke off, or says nothing any more.
        """
        wanted = memoryview(buffer).nbytes
        piece = b""
        if self._left and wanted:
            with s3_errors_as_refusals(self._bucket):
                piece = self._body.read(min(wanted, self._left))
            if not piece:
                raise Unavailable("the blob store broke off in the middle of a file; try again")
        self._sha256.update(piece)
        self._left -= len(piece)
        if self._left == 0 and self._sha256.hexdigest() != self._digest:
            raise DamagedBlob(self._digest)
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """End the answer: a connection with bytes still to come is not used again."""
        if not self.closed:
            self._body.close()
        super().close()
