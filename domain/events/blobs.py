"""What happens to the files of a version, in the stream of its crate or package."""

from packledger.domain.events.event import Event


class BlobPurged(Event, frozen=True, tag="blob.purged.v1"):
    """The bytes of a version are removed for good; it is in the stream of its crate or package.

    ecosystem: `cargo` or `npm`; digest: SHA-256 hex of its file, whose blob goes; reason: of an
    operator, for everybody to read; readme: the blob of its README, which goes, too, empty if there
    is none or another version has the same.
    """

    ecosystem: str
    name: str
    version: str
    digest: str
    reason: str
    readme: str = ""
