"""The read models of a node: the projector, and the rebuild of what another release rendered."""

import logging
import signal
from collections.abc import Callable
from types import FrameType

from packledger.cli import wiring
from packledger.cli.settings import Settings
from packledger.cli.supervisor import Child
from packledger.projections.board import PROJECTIONS

log = logging.getLogger("packledger.projecting")


def prepare_read_models(settings: Settings) -> None:
    """Set damaged read models aside, before anything is read from them."""
    registry = wiring.open_registry(settings, create=False)
    try:
        for name, damage in wiring.set_damaged_aside(settings, registry).items():
            log.error("damaged, and built anew: %s", damage, extra={"projection": name})
    finally:
        wiring.close_registry(registry)


def projecting(settings: Settings, begin: Callable[[], None] = lambda: None) -> list[Child]:
    """Return the processes that keep the read models up to date. begin: called first in each."""

    def project() -> None:
        begin()
        _project(settings)

    def rebuild_stale() -> None:
        begin()
        _rebuild_stale(settings)

    return [Child("projector", project), Child("rebuild", rebuild_stale, once=True)]


class _Stop:
    """Becomes true at SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def __call__(self) -> bool:
        return self._asked


def _project(settings: Settings) -> None:
    stop = _Stop()
    registry = wiring.open_registry(settings, create=False)
    wiring.open_projector(settings, registry).run(stop)
    wiring.close_registry(registry)


def _rebuild_stale(settings: Settings) -> None:
    """Rebuild what another release rendered, behind what is being served."""
    registry = wiring.open_registry(settings, create=False)
    for name in PROJECTIONS:
        if wiring.is_stale(settings, name):
            log.info("rendering has changed: rebuilding", extra={"projection": name})
            outcome = wiring.run_rebuild(settings, registry, name)
            log.info("rebuilt", extra={"projection": name, "documents": outcome.documents})
    wiring.close_registry(registry)
