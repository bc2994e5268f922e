"""Count downloads in memory and append them now and then, one event for many."""

import logging
from collections import Counter

from packledger.commands.registry import Registry
from packledger.domain.download_counts import count_events
from packledger.domain.errors import RegistryError
from packledger.domain.streams import DOWNLOADS

log = logging.getLogger("packledger.downloads")


class DownloadCounter:
    """One process's count since its last flush; what a killed process had not flushed is lost."""

    def __init__(self, registry: Registry, node: str) -> None:
        self._registry, self._node = registry, node
        self._counts: Counter[str] = Counter()

    def count(self, ecosystem: str, name: str) -> None:
        """Count one download; for the event loop."""
        self._counts[f"{ecosystem}:{name}"] += 1

    def flush(self) -> None:
        """Append what was counted; keeps it for the next time if the log cannot be written."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        actor = self._registry.actor("")
        try:
            self._registry.log.execute(
                DOWNLOADS,
                self._node,
                lambda state, version: count_events(actor, self._node, counts),
            )
        except RegistryError as error:
            self._counts.update(counts)
            log.warning("downloads are kept in memory: %s", error.sentence)
