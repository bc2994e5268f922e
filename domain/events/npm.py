"""The events of an npm package's stream."""

import msgspec

from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.event import Event


class NpmRegistered(Event, frozen=True, tag="npm.registered.v1"):
    """A package's name was taken by its first owner."""

    name: str
    owner: str


class NpmSignature(msgspec.Struct, frozen=True, gc=False):
    """A registry's signature of `NAME@VERSION:INTEGRITY`.

    keyid: `SHA256:` and base64 of the key's digest; sig: base64 of a DER ECDSA P-256 signature.
    """

    keyid: str
    sig: str


class NpmVersionPublished(Event, frozen=True, tag="npm.version_published.v1"):
    """A tarball was accepted.

    manifest: the version object without `dist`, `maintainers`, `_npmUser` and `readme`, as JSON;
    tarball: SHA-256 hex, its blob; shasum: SHA-1 hex; integrity: SRI `sha512-…`; maintainers:
    owners at that moment; readme: blob or empty; readme_filename: as in the tarball; signatures:
    made by the command, so that no rebuild needs the key.
    """

    name: str
    version: str
    tarball: str
    size_bytes: int
    shasum: str
    integrity: str
    file_count: int
    unpacked_bytes: int
    manifest: msgspec.Raw
    maintainers: tuple[str, ...]
    readme: str = ""
    readme_filename: str = ""
    published_at: str = ""
    signatures: tuple[NpmSignature, ...] = ()


class NpmVersionSigned(Event, frozen=True, tag="npm.version_signed.v1"):
    """A version that was published before there was a key got its signature."""

    name: str
    version: str
    signature: NpmSignature


class NpmVersionUnpublished(Event, frozen=True, tag="npm.version_unpublished.v1"):
    """One version was removed; its number stays used."""

    name: str
    version: str


class NpmUnpublished(Event, frozen=True, tag="npm.unpublished.v1"):
    """The whole package was removed; its version numbers and its owners stay."""

    name: str


class NpmDistTagSet(Event, frozen=True, tag="npm.dist_tag_set.v1"):
    """A dist-tag points to a version."""

    name: str
    dist_tag: str
    version: str


class NpmDistTagRemoved(Event, frozen=True, tag="npm.dist_tag_removed.v1"):
    """A dist-tag is gone."""

    name: str
    dist_tag: str


class NpmVersionDeprecated(Event, frozen=True, tag="npm.version_deprecated.v1"):
    """Installing the version prints the message."""

    name: str
    version: str
    message: str


class NpmVersionUndeprecated(Event, frozen=True, tag="npm.version_undeprecated.v1"):
    """The message is gone."""

    name: str
    version: str


class NpmOwnerAdded(Event, frozen=True, tag="npm.owner_added.v1"):
    """An account may now change the package."""

    name: str
    owner: str


class NpmOwnerRemoved(Event, frozen=True, tag="npm.owner_removed.v1"):
    """An account may no longer change the package."""

    name: str
    owner: str


class NpmStarred(Event, frozen=True, tag="npm.starred.v1"):
    """The account `by` likes the package."""

    name: str


class NpmUnstarred(Event, frozen=True, tag="npm.unstarred.v1"):
    """The account `by` took its star back."""

    name: str


NpmEvent = (
    NpmRegistered
    | NpmVersionPublished
    | NpmVersionSigned
    | NpmVersionUnpublished
    | NpmUnpublished
    | NpmDistTagSet
    | NpmDistTagRemoved
    | NpmVersionDeprecated
    | NpmVersionUndeprecated
    | NpmOwnerAdded
    | NpmOwnerRemoved
    | NpmStarred
    | NpmUnstarred
    | BlobPurged
)
"""Every event that a package's stream can hold."""
