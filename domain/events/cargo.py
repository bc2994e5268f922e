"""The events of a crate's stream."""

import msgspec

from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.event import Event


class CrateRegistered(Event, frozen=True, tag="crate.registered.v1"):
    """A crate's name was taken by its first owner."""

    name: str
    owner: str


class CrateVersionPublished(Event, frozen=True, tag="crate.version_published.v1"):
    """A `.crate` was accepted. cksum: SHA-256 hex of it, and its blob; readme: blob or empty.

    manifest: a `domain.cargo.manifest.CrateManifest` as JSON. published_at: the original time of
    an imported version, RFC 3339, else empty.
    """

    name: str
    version: str
    cksum: str
    size_bytes: int
    manifest: msgspec.Raw
    readme: str = ""
    published_at: str = ""


class CrateVersionYanked(Event, frozen=True, tag="crate.version_yanked.v1"):
    """A version is hidden from new resolution."""

    name: str
    version: str


class CrateVersionUnyanked(Event, frozen=True, tag="crate.version_unyanked.v1"):
    """A yanked version may be chosen again."""

    name: str
    version: str


class CrateOwnerAdded(Event, frozen=True, tag="crate.owner_added.v1"):
    """An account may now publish, yank and change owners."""

    name: str
    owner: str


class CrateOwnerRemoved(Event, frozen=True, tag="crate.owner_removed.v1"):
    """An account may no longer change the crate."""

    name: str
    owner: str


CrateEvent = (
    CrateRegistered
    | CrateVersionPublished
    | CrateVersionYanked
    | CrateVersionUnyanked
    | CrateOwnerAdded
    | CrateOwnerRemoved
    | BlobPurged
)
"""Every event that a crate's stream can hold."""
