"""Where the bucket of the blobs is. boto3 is not imported here.

Source of what a bucket may be called:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
"""

import re
from typing import Annotated

from packledger.domain.section import Section, is_plain_url, setting

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3(Section, frozen=True, kw_only=True):
    """The blobs in a bucket, of Amazon's or of any server that speaks S3."""

    bucket: Annotated[
        str,
        setting(
            "The S3 bucket of the blobs, created if missing. Empty: files in `data`.",
            flat="s3_bucket",
        ),
    ] = ""
    prefix: Annotated[
        str, setting("What the names of all objects begin with.", flat="s3_prefix")
    ] = ""
    endpoint: Annotated[
        str,
        setting(
            "The URL of an S3 server that is not Amazon's, such as `http://127.0.0.1:9000`.",
            flat="s3_endpoint",
        ),
    ] = ""
    public_endpoint: Annotated[
        str,
        setting(
            "The URL of `s3_endpoint` as clients reach it, for redirects.",
            flat="s3_public_endpoint",
        ),
    ] = ""
    region: Annotated[str, setting("The region of the bucket.", flat="s3_region")] = "us-east-1"
    access_key: Annotated[
        str,
        setting(
            "The access key. Empty: as AWS tools find it, in their environment or files.",
            flat="s3_access_key",
        ),
    ] = ""
    secret_key: Annotated[
        str, setting("The secret of `s3_access_key`.", flat="s3_secret_key", secret=True)
    ] = ""
    ca_bundle: Annotated[
        str,
        setting(
            "A PEM file of the authorities that may sign the certificate of the S3 server.",
            flat="s3_ca_bundle",
            path=True,
        ),
    ] = ""
    timeout_s: Annotated[
        float,
        setting("How long the S3 server may say nothing, in seconds.", ge=0.1, flat="s3_timeout_s"),
    ] = 30.0
    redirect: Annotated[
        bool,
        setting(
            "Whether a download is answered by a redirect to a presigned URL of the S3 server "
            "instead of the bytes.",
            flat="s3_redirect",
        ),
    ] = False

    def __post_init__(self) -> None:
        """Refuse what boto3 would refuse in words of its own."""
        for name, url in (("endpoint", self.endpoint), ("public_endpoint", self.public_endpoint)):
            if url and not is_plain_url(url):
                raise ValueError(
                    f"`{name}` must be a URL such as `http://127.0.0.1:9000`, not `{url}`"
                )
        if self.bucket and not _BUCKET.fullmatch(self.bucket):
            raise ValueError(
                "`bucket` must be 3 to 63 small letters, digits, dots and hyphens, not "
                f"`{self.bucket}`"
            )
