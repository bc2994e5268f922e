"""The events of the registry's own stream, and of the streams in which nodes count downloads."""

from packledger.domain.events.event import Event


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


RegistryEvent = RegistryConfigured | SigningKeyAdded | SigningKeyRetired
"""Every event that the registry's stream can hold."""
