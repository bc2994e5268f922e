"""The registry's own stream: the settings that shape documents, so that the log explains them."""

import msgspec

from packledger.domain.accounts.actor import Actor
from packledger.domain.errors import NotFound
from packledger.domain.events.registry import (
    RegistryConfigured,
    RegistryEvent,
    SigningKeyAdded,
    SigningKeyRetired,
)


class SigningKey(msgspec.Struct, frozen=True):
    """A key for npm signatures. key: base64 of the public part; expires: empty while it signs."""

    key: str
    expires: str = ""


class Configuration(msgspec.Struct):
    """What documents depend on. public_url: without a trailing slash; signing_keys: by keyid."""

    public_url: str
    signing_keys: dict[str, SigningKey] = {}

    def copy(self) -> "Configuration":
        """Return a copy that `evolve` may change."""
        return Configuration(self.public_url, dict(self.signing_keys))

    def signing_keyid(self) -> str | None:
        """Return the id of the key that signs now, None before there is one."""
        active = [keyid for keyid, key in self.signing_keys.items() if not key.expires]
        return active[-1] if active else None


def evolve(configuration: Configuration | None, event: RegistryEvent) -> Configuration:
    """Fold one event of the registry's stream into its state."""
    state = configuration or Configuration("")
    match event:
        case RegistryConfigured(public_url=public_url):
            state.public_url = public_url
        case SigningKeyAdded(keyid=keyid, key=key):
            state.signing_keys[keyid] = SigningKey(key)
        case SigningKeyRetired(keyid=keyid, expires=expires):
            key = state.signing_keys[keyid].key
            state.signing_keys[keyid] = SigningKey(key, expires)
        case _:
            raise TypeError(f"{type(event).__name__} is no event of the registry")
    return state


def decide_configure(
    configuration: Configuration | None, actor: Actor, public_url: str
) -> list[RegistryEvent]:
    """Return the event that changes the public URL; none when it is that already."""
    if configuration is not None and configuration.public_url == public_url:
        return []
    return [RegistryConfigured(**actor.stamp(), public_url=public_url)]


def decide_first_signing_key(
    configuration: Configuration | None, actor: Actor, keyid: str, key: str
) -> list[RegistryEvent]:
    """Return the event that adds the first key; none when somebody was faster."""
    if configuration is not None and configuration.signing_keys:
        return []
    return [SigningKeyAdded(**actor.stamp(), keyid=keyid, key=key)]


def decide_rotate_signing_key(
    configuration: Configuration | None, actor: Actor, keyid: str, key: str, expires: str
) -> list[RegistryEvent]:
    """Return the events that replace the key that signs.

    expires: RFC 3339, a little later than now: another process may be signing with the old key.

    Raises:
        NotFound: there is no key yet.
    """
    old = configuration.signing_keyid() if configuration else None
    if old is None:
        raise NotFound("there is no signing key yet; start the registry once")
    stamp = actor.stamp()
    return [
        SigningKeyAdded(**stamp, keyid=keyid, key=key),
        SigningKeyRetired(**stamp, keyid=old, expires=expires),
    ]
