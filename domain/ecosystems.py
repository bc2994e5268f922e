"""The two ecosystems, by the names that URLs, keys and events have for them."""

from packledger.domain.events import EVENTS
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.event import Event

CARGO, NPM = "cargo", "npm"

_ECOSYSTEM_OF: dict[type[Event], str] = {
    kind: CARGO if tag.startswith("crate.") else NPM
    for tag, kind in EVENTS.items()
    if tag.startswith(("crate.", "npm."))
}


def ecosystem_of(event: Event) -> str:
    """Return the ecosystem of an event of a crate or package."""
    return event.ecosystem if type(event) is BlobPurged else _ECOSYSTEM_OF[type(event)]
