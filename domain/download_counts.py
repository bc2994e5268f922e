"""A node's own stream of download counts; nothing is ever decided on it."""

import msgspec

from packledger.domain.accounts.actor import Actor
from packledger.domain.events.registry import DownloadsCounted

MAX_NAMES = 2_000
"""In one event: 2,000 names of at most 220 bytes stay below the limit of a stored event."""


class Downloads(msgspec.Struct):
    """Which node counts."""

    node: str

    def copy(self) -> "Downloads":
        """Return a copy that `evolve` may change."""
        return Downloads(self.node)


def evolve(downloads: Downloads | None, event: DownloadsCounted) -> Downloads:
    """Fold one event of a node's stream into its state."""
    if not isinstance(event, DownloadsCounted):
        raise TypeError(f"{type(event).__name__} is no event of a node's downloads")
    return Downloads(event.node)


def count_events(actor: Actor, node: str, counts: dict[str, int]) -> list[DownloadsCounted]:
    """Return the events of these counts, each small enough to be stored; none for none."""
    names = sorted(counts)
    return [
        DownloadsCounted(
            **actor.stamp(),
            node=node,
            counts={name: counts[name] for name in names[start : start + MAX_NAMES]},
        )
        for start in range(0, len(names), MAX_NAMES)
    ]
