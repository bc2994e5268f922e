"""Every event that the log can hold.

A struct's tag is the stored type name and never changes; neither do the fields of a published tag
(a new shape gets a new tag and an upcaster in `eventstore/mapper.py`). `tests/unit/test_events.py`
pins them all. Stored bytes are canonical JSON, see `encode`.
"""

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What every event carries.

    at: RFC 3339, UTC, three digits of a second, `Z`; by: account name; token: its public id;
    request: id of the HTTP request or command. The last three are empty when there was none.
    """

    at: str
    by: str = ""
    token: str = ""
    request: str = ""


class CrateRegistered(Event, frozen=True, tag="crate.registered.v1"):
    """A crate's name was taken by its first owner."""

    name: str
    owner: str


class CrateVersionPublished(Event, frozen=True, tag="crate.version_published.v1"):
    """A `.crate` was accepted. cksum: SHA-256 hex of it, and its blob; readme: blob or empty.

    manifest: a `domain.crate_manifest.CrateManifest` as JSON. published_at: the original time of
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


class AccountRegistered(Event, frozen=True, tag="account.registered.v1"):
    """An account exists. role: `user` or `admin`. Its password is beside the log, never in it.

    credential: SHA-256 hex of the stored hash, so that a replaced one shows (ADR 0044).
    """

    name: str
    role: str
    credential: str | msgspec.UnsetType = msgspec.UNSET


class AccountPasswordChanged(Event, frozen=True, tag="account.password_changed.v1"):
    """The password was changed; its hash is beside the log. credential: as of a registration."""

    name: str
    credential: str | msgspec.UnsetType = msgspec.UNSET


class AccountRoleChanged(Event, frozen=True, tag="account.role_changed.v1"):
    """The account became `user` or `admin`."""

    name: str
    role: str


class AccountDisabled(Event, frozen=True, tag="account.disabled.v1"):
    """The account and its tokens are refused."""

    name: str


class AccountEnabled(Event, frozen=True, tag="account.enabled.v1"):
    """The account is accepted again, with its old password; its tokens have ended."""

    name: str


class TokenIssued(Event, frozen=True, tag="token.issued.v1"):
    """A token was shown to its owner once.

    sha256: hex of the secret (160 random bits, so the hash tells nothing); token_id: public id;
    label: for people; scopes and packages: what it is limited to, empty for no limit;
    expires: RFC 3339 or empty for never; cidr: ranges of addresses that it may be used from, not
    there for everywhere.
    """

    account: str
    token_id: str
    sha256: str
    label: str = ""
    read_only: bool = False
    scopes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    expires: str = ""
    cidr: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class TokenRevoked(Event, frozen=True, tag="token.revoked.v1"):
    """A token is refused from now on."""

    account: str
    token_id: str


class SessionBegun(Event, frozen=True, tag="account.session_begun.v1"):
    """Somebody signed in with a browser.

    sha256: hex of the secret in its cookie; expires: RFC 3339.
    """

    name: str
    session_id: str
    sha256: str
    expires: str


class SessionEnded(Event, frozen=True, tag="account.session_ended.v1"):
    """A browser was signed out; the cookie is refused from now on."""

    name: str
    session_id: str


class DownloadsCounted(Event, frozen=True, tag="downloads.counted.v1"):
    """A node's downloads since it counted last: `cargo:NAME` or `npm:NAME` → how many."""

    node: str
    counts: dict[str, int]


class RegistryConfigured(Event, frozen=True, tag="registry.configured.v1"):
    """What shapes documents: `public_url`, without a trailing slash."""

    public_url: str


class SigningKeyAdded(Event, frozen=True, tag="registry.signing_key_added.v1"):
    """npm versions are signed with this key from now on. key: its public part, base64 of DER."""

    keyid: str
    key: str


class SigningKeyRetired(Event, frozen=True, tag="registry.signing_key_retired.v1"):
    """The key signs no more. expires: RFC 3339; what was published before it stays valid."""

    keyid: str
    expires: str


_encoder = msgspec.json.Encoder(order="deterministic")


def encode(value: object) -> bytes:
    """Return canonical JSON: no blanks, struct fields in order, mapping keys sorted."""
    return _encoder.encode(value)


def tag_of(kind: type[Event]) -> str:
    """Return the stored type name of an event class, such as `crate.version_yanked.v1`."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


EVENTS: dict[str, type[Event]] = {tag_of(kind): kind for kind in Event.__subclasses__()}
