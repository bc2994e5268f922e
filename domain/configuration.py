"""The registry's own stream: the settings that shape documents, so that the log explains them."""

import msgspec

from packledger.domain.actor import Actor
from packledger.domain.events import Event, RegistryConfigured


class Configuration(msgspec.Struct):
    """What documents depend on. public_url: without a trailing slash."""

    public_url: str

    def copy(self) -> "Configuration":
        """Return a copy that `evolve` may change."""
        return Configuration(self.public_url)


def evolve(configuration: Configuration | None, event: Event) -> Configuration:
    """Fold one event of the registry's stream into its state."""
    if not isinstance(event, RegistryConfigured):
        raise TypeError(f"{type(event).__name__} is no event of the registry")
    return Configuration(event.public_url)


def decide_configure(
    configuration: Configuration | None, actor: Actor, public_url: str
) -> list[Event]:
    """Return the event that changes the public URL; none when it is that already."""
    if configuration is not None and configuration.public_url == public_url:
        return []
    return [RegistryConfigured(**actor.stamp(), public_url=public_url)]
