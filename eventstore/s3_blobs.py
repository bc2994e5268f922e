"""Blobs as objects of a bucket on any S3 server.

A blob is one conditional PUT: it is there whole or not at all, and is never overwritten (ADR 0017).
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

import base64
import hashlib
import io
import threading
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs import Download, MissingBlob, OpenBlob
from packledger.eventstore.s3_client import (
    Bucket,
    code_of,
    connect,
    persist,
    s3_errors_as_refusals,
)
from packledger.eventstore.s3_reader import VerifiedReader
from packledger.eventstore.spool import Spool, sweep

LINK_S = 300
"""How long a URL for a client holds: it is followed at once, but a clock may be wrong."""


class S3Blobs:
    """Blobs as objects `<prefix>sha256/<2 hex>/<62 hex>`. Build it after any fork.

    spool_folder: on this machine, for uploads until they are whole; created here.
    """

    def __init__(self, bucket: Bucket, spool_folder: Path) -> None:
        self._bucket, self.spool_folder = bucket, spool_folder
        spool_folder.mkdir(parents=True, exist_ok=True)
        self._client = connect(bucket, bucket.endpoint)
        self._public = self._client
        if bucket.redirect and bucket.public_endpoint:
            self._public = connect(bucket, bucket.public_endpoint)

    def create(self) -> None:
        """Create the bucket where it is missing; safe for several at once.

        Raises:
            Unavailable: it cannot be created.
        """
        with s3_errors_as_refusals(self._bucket):
            if not self._has_bucket():
                self._create_bucket()

    def _has_bucket(self) -> bool:
        try:
            self._ask("head_bucket")
        except ClientError as error:
            if code_of(error) in {"404", "NoSuchBucket"}:
                return False
            raise
        return True

    def _create_bucket(self) -> None:
        region = self._bucket.region
        # Amazon's first region must not be named.
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            self._ask("create_bucket", **({} if region == "us-east-1" else where))
        except ClientError as error:
            # Another process was faster; or the name is somebody else's, as its use will show.
            if code_of(error) not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                raise

    def sweep_uploads(self) -> int:
        """Remove uploads that a killed process left a day ago or longer; return how many."""
        return sweep(self.spool_folder)

    def writer(self) -> "S3BlobWriter":
        """Begin an upload."""
        return S3BlobWriter(self, Spool(self.spool_folder))

    def put(self, content: bytes) -> str:
        """Store a small blob durably, if it is not there already, and return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        self.store(digest, io.BytesIO(content), len(content))
        return digest

    def store(self, digest: str, file: BinaryIO, size_bytes: int) -> None:
        """Store a file under its digest, unless it is there. The server checks the digest.

        Raises:
            Unavailable: it cannot be stored, or what is there is damaged.
        """
        with s3_errors_as_refusals(self._bucket):
            try:
                self._ask(
                    "put_object",
                    Key=self.key(digest),
                    Body=file,
                    ContentType="application/octet-stream",
                    IfNoneMatch="*",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(digest)).decode(),
                )
            except ClientError as error:
                if code_of(error) not in {"PreconditionFailed", "412"}:
                    raise
                self._check_stored(digest, size_bytes)

    def _check_stored(self, digest: str, size_bytes: int) -> None:
        there_bytes = self.size_bytes(digest)
        if there_bytes != size_bytes:
            raise Unavailable(
                f"the object `{self.key(digest)}` of the registry's blob store is damaged: it has "
                f"{there_bytes} bytes instead of {size_bytes}; ask its operator to remove it"
            )

    def key(self, digest: str) -> str:
        """Return the name of a blob's object."""
        return f"{self._bucket.prefix}sha256/{digest[:2]}/{digest[2:]}"

    def open(self, digest: str) -> BinaryIO:
        """Return a blob's bytes as a file.

        Raises:
            MissingBlob: no such blob.
            Unavailable: the server cannot be asked. Later, reading: as `VerifiedReader`.
        """
        return self.open_sized(digest).file

    def at_hand(self, digest: str, most_bytes: int) -> bytes | None:
        """Return None: a bucket is never at hand."""
        return None

    def open_sized(self, digest: str) -> OpenBlob:
        """Return a blob's bytes as a file, with their number.

        Raises:
            MissingBlob, Unavailable: as `open`.
        """
        answer = self._find("get_object", digest)
        size_bytes = answer["ContentLength"]
        reader = VerifiedReader(self._bucket, answer["Body"], digest, size_bytes)
        return OpenBlob(io.BufferedReader(reader), size_bytes)

    def size_bytes(self, digest: str) -> int:
        """Return a blob's size.

        Raises:
            MissingBlob, Unavailable: as `open`.
        """
        return int(self._find("head_object", digest)["ContentLength"])

    def _find(self, operation: str, digest: str) -> Any:
        with s3_errors_as_refusals(self._bucket):
            try:
                return self._ask(operation, Key=self.key(digest))
            except ClientError as error:
                if code_of(error) not in {"NoSuchKey", "404"}:
                    raise
                # The answer to HEAD has no body that tells a missing bucket from a missing key.
                if operation == "head_object":
                    self._ask("list_objects_v2", Prefix=self.key(digest), MaxKeys=1)
                raise MissingBlob(digest) from error

    def link(self, download: Download) -> str | None:
        """Return a presigned URL of a blob, to be followed soon; None: hand out the bytes."""
        if not self._bucket.redirect:
            return None
        params = {"Bucket": self._bucket.name, "Key": self.key(download.digest)}
        with s3_errors_as_refusals(self._bucket):
            if download.method == "HEAD":
                url = self._public.generate_presigned_url("head_object", params, LINK_S)
            else:
                # Without it the file would be called by its digest.
                shown = f'attachment; filename="{download.filename}"'
                params |= {
                    "ResponseContentType": download.content_type,
                    "ResponseContentDisposition": shown,
                }
                url = self._public.generate_presigned_url("get_object", params, LINK_S)
        return str(url)

    def _ask(self, operation: str, **params: Any) -> Any:
        def request() -> Any:
            if isinstance(body := params.get("Body"), io.IOBase):
                body.seek(0)
            return getattr(self._client, operation)(Bucket=self._bucket.name, **params)

        return persist(request, self._bucket.timeout_s)

    def close(self) -> None:
        """Close the connections that wait for the next request."""
        self._client.close()
        self._public.close()


class S3BlobWriter:
    """An upload in a file of this machine, sent when it is whole and its digest known."""

    def __init__(self, blobs: S3Blobs, spool: Spool) -> None:
        self._blobs, self._spool = blobs, spool
        self._digest: str | None = None
        # A client that goes away discards its upload while another thread may still commit it.
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """How much was written so far."""
        return self._spool.size_bytes

    def write(self, chunk: bytes) -> int:
        """Add bytes."""
        return self._spool.write(chunk)

    def reader(self) -> BinaryIO:
        """Return what was written so far, from its start."""
        return self._spool.reader()

    def commit(self) -> str:
        """Make the blob durable and visible, and return its digest."""
        with self._lock:
            if self._digest is None:
                digest = self._spool.digest
                with self._spool.all_or_nothing(), self._spool.reader() as file:
                    self._blobs.store(digest, file, self._spool.size_bytes)
                self._digest = digest
                self._spool.discard()
            return self._digest

    def discard(self) -> None:
        """Forget the upload; does nothing after `commit`."""
        with self._lock:
            self._spool.discard()
