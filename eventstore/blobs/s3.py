"""Blobs as objects of a bucket on any S3 server.

A blob is one conditional PUT: it is there whole or not at all (ADR 0017).
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import ClientError

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs.beside import Beside
from packledger.eventstore.blobs.s3_client import (
    code_of,
    connect,
    persist,
    s3_errors_as_refusals,
)
from packledger.eventstore.blobs.s3_reader import BodyReader, VerifiedReader
from packledger.eventstore.blobs.settings import S3
from packledger.eventstore.blobs.spool import Spool, SpooledWriter, sweep
from packledger.eventstore.blobs.store import (
    BlobWriter,
    Download,
    MissingBlob,
    OpenBlob,
    StoredBlob,
)

RENEW_S = 60
"""An object of this age is stored again when its bytes are: it may be an orphan, and be removed by
its age."""
LINK_S = 300
"""How long a URL for a client holds: it is followed at once, but a clock may be wrong."""


class S3Blobs:
    """Blobs as objects `<prefix>sha256/<2 hex>/<62 hex>`. Build it after any fork.

    spool_folder: on this machine, for uploads until they are whole; created here.
    """

    def __init__(self, bucket: S3, spool_folder: Path) -> None:
        self._bucket, self.spool_folder = bucket, spool_folder
        spool_folder.mkdir(parents=True, exist_ok=True)
        self._beside = Beside(self.put)
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

    def writer(self) -> SpooledWriter:
        """Begin an upload."""
        return SpooledWriter(Spool(self.spool_folder), self._send)

    def _send(self, spool: Spool) -> None:
        with spool.reader() as file:
            self.store(spool.digest, file, spool.size_bytes)

    def put(self, content: bytes) -> str:
        """Store a small blob durably, or make the one that is there young; return its digest."""
        digest = hashlib.sha256(content).hexdigest()
        self.store(digest, io.BytesIO(content), len(content))
        return digest

    def commit_with(self, writer: BlobWriter, content: bytes) -> tuple[str, str]:
        """Make an upload a blob, and store a small one, side by side; return both digests."""
        return self._beside.commit(writer, content)

    def store(self, digest: str, file: BinaryIO, size_bytes: int) -> None:
        """Store a file under its digest, unless it is there. The server checks the digest.

        Raises:
            Unavailable: it cannot be stored, or what is there is damaged.
        """
        with s3_errors_as_refusals(self._bucket):
            try:
                self._put(digest, file, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) not in {"PreconditionFailed", "412"}:
                    raise
                if not self._is_fresh(digest, size_bytes):
                    # The same bytes, or the server refuses them: nobody sees anything but age.
                    self._put(digest, file)

    def _put(self, digest: str, file: BinaryIO, **condition: str) -> None:
        self._ask(
            "put_object",
            Key=self.key(digest),
            Body=file,
            ContentType="application/octet-stream",
            ChecksumSHA256=base64.b64encode(bytes.fromhex(digest)).decode(),
            **condition,
        )

    def _is_fresh(self, digest: str, size_bytes: int) -> bool:
        """Return whether an object is there and too young to be removed; refuse a damaged one."""
        try:
            answer = self._find("head_object", digest)
        except MissingBlob:
            return False  # removed just now
        there_bytes = answer["ContentLength"]
        if there_bytes != size_bytes:
            raise Unavailable(
                f"the object `{self.key(digest)}` of the registry's blob store is damaged: it has "
                f"{there_bytes} bytes instead of {size_bytes}; ask its operator to remove it"
            )
        return _age_s(answer, answer["LastModified"]) < RENEW_S

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

    def open_part(self, digest: str, first: int, size_bytes: int) -> BinaryIO:
        """Return a blob's bytes from `first` on as a file.

        Raises:
            MissingBlob, Unavailable: as `open`.
        """
        answer = self._find("get_object", digest, Range=f"bytes={first}-{first + size_bytes - 1}")
        return io.BufferedReader(BodyReader(self._bucket, answer["Body"], size_bytes))

    def size_bytes(self, digest: str) -> int:
        """Return a blob's size.

        Raises:
            MissingBlob, Unavailable: as `open`.
        """
        return int(self._find("head_object", digest)["ContentLength"])

    def _find(self, operation: str, digest: str, **more: str) -> Any:
        with s3_errors_as_refusals(self._bucket):
            try:
                return self._ask(operation, Key=self.key(digest), **more)
            except ClientError as error:
                if code_of(error) not in {"NoSuchKey", "404"}:
                    raise
                # The answer to HEAD has no body that tells a missing bucket from a missing key.
                if operation == "head_object":
                    self._ask("list_objects_v2", Prefix=self.key(digest), MaxKeys=1)
                raise MissingBlob(digest) from error

    def stored(self) -> Iterator[StoredBlob]:
        """Yield every blob in the order of digests; a thousand of them are in memory."""
        name = re.compile(re.escape(self._bucket.prefix) + "sha256/([0-9a-f]{2})/([0-9a-f]{62})")
        asked: dict[str, str] = {"Prefix": f"{self._bucket.prefix}sha256/"}
        more = True
        while more:
            with s3_errors_as_refusals(self._bucket):
                answer = self._ask("list_objects_v2", **asked)
            for found in answer.get("Contents", ()):
                if match := name.fullmatch(found["Key"]):
                    age_s = _age_s(answer, found["LastModified"])
                    yield StoredBlob("".join(match.groups()), found["Size"], age_s)
            more = answer.get("IsTruncated", False)
            asked["ContinuationToken"] = answer.get("NextContinuationToken", "")

    def remove(self, digest: str, min_age_s: float = 0.0) -> bool:
        """Remove a blob durably if it is that old; return whether there was one to remove.

        S3 cannot do both at once: an object that is stored again between the two requests is lost,
        so who collects orphans looks at the log once more (ADR 0025).
        """
        try:
            answer = self._find("head_object", digest)
        except MissingBlob:
            return False
        if min_age_s and _age_s(answer, answer["LastModified"]) < min_age_s:
            return False
        with s3_errors_as_refusals(self._bucket):
            self._ask("delete_object", Key=self.key(digest))
        return True

    def restore(self, digest: str, pieces: Iterable[bytes]) -> None:
        """Store a blob again, in place of one that is missing or damaged; durable on return.

        Raises:
            DamagedBlob: the pieces do not have the digest; nothing was changed.
        """
        spool = Spool(self.spool_folder)
        try:
            spool.fill(digest, pieces)
            with s3_errors_as_refusals(self._bucket), spool.reader() as file:
                self._put(digest, file)
        finally:
            spool.discard()

    def link(self, download: Download) -> str | None:
        """Return a presigned URL of a blob, to be followed soon; None: hand out the bytes."""
        if not self._bucket.redirect:
            return None
        params = {"Bucket": self._bucket.bucket, "Key": self.key(download.digest)}
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
            return getattr(self._client, operation)(Bucket=self._bucket.bucket, **params)

        return persist(request, self._bucket.timeout_s)

    def close(self) -> None:
        """End the threads, and close the connections that wait for the next request."""
        self._beside.close()
        self._client.close()
        self._public.close()


def _age_s(answer: Any, modified: datetime) -> float:
    """Return how old an object is by the server's clock, which need not be ours."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(date) if date else datetime.now(UTC)
    return (now - modified).total_seconds()
