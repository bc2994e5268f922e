"""How we speak with an S3 server: its address, time-outs, retries, and what its errors mean.

boto3 is imported here alone, and this module only where a bucket is used: it takes 40 MB.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from packledger.domain.errors import Unavailable
from packledger.eventstore.blobs.settings import S3

Result = TypeVar("Result")

PAUSES_S = (0.1, 0.5)
"""Before the second and the third try of a request that found the server restarting or busy."""
CONNECTIONS = 32
"""Kept open; more are opened when needed."""
_BUSY = {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown"}

_CAUSES = {
    SSLError: "the certificate of the S3 server is not accepted, see `s3_ca_bundle`",
    NoCredentialsError: "there is no access key, see `s3_access_key`",
}
_UNREACHABLE = "the S3 server cannot be reached"


def connect(bucket: S3, endpoint: str) -> Any:
    """Return a client for any thread; it connects when it is used."""
    # The checksum is ours, SHA-256, both ways; and we repeat requests, within the time-out.
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},
        connect_timeout=bucket.timeout_s,
        read_timeout=bucket.timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=bucket.region,
        aws_access_key_id=bucket.access_key or None,
        aws_secret_access_key=bucket.secret_key or None,
        verify=bucket.ca_bundle or None,
        config=config,
    )


def code_of(error: Exception) -> str:
    """Return the code of an answer that is an error: S3's own word, else the HTTP status."""
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def _status_of(error: Exception) -> int:
    answer = error.response["ResponseMetadata"] if isinstance(error, ClientError) else {}
    return int(answer.get("HTTPStatusCode", 0))


def persist(request: Callable[[], Result], timeout_s: float) -> Result:
    """Return what a request returns, and try again what may go better, unless time is up.

    A server that says nothing is not asked twice: somebody waits for the answer.
    """
    deadline_s = time.monotonic() + timeout_s
    for pause_s in PAUSES_S:
        try:
            return request()
        except (BotoCoreError, ClientError) as error:
            if not _may_pass(error) or time.monotonic() + pause_s > deadline_s:
                raise
        time.sleep(pause_s)
    return request()


def _may_pass(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return _status_of(error) in {429, 500, 502, 503, 504} or code_of(error) in _BUSY
    lost = isinstance(error, EndpointConnectionError | ConnectionClosedError)
    return lost and not _timed_out(error)


def _timed_out(error: BaseException | None) -> bool:
    """Whether silence is why: while a body is sent, botocore calls it a lost connection."""
    while error is not None:
        if isinstance(error, ConnectTimeoutError | ReadTimeoutError | TimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def s3_errors_as_refusals(bucket: S3) -> Iterator[None]:
    """Turn whatever an S3 server or the way to it does into a refusal."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise Unavailable(
            f"the registry cannot use its blob store now: {_why(error, bucket)}; nothing was "
            "changed, try again later"
        ) from error


def _why(error: BotoCoreError | ClientError, bucket: S3) -> str:
    code = code_of(error)
    if code == "NoSuchBucket":
        return f"its bucket `{bucket.bucket}` does not exist"
    if _status_of(error) in {401, 403}:
        return f"the S3 server refuses the access key with `{code}`"
    if code:
        return f"the S3 server answered `{code}`"
    if _timed_out(error):
        return f"the S3 server did not answer within {bucket.timeout_s:g} seconds"
    return next((why for kind, why in _CAUSES.items() if isinstance(error, kind)), _UNREACHABLE)
