"""The read models of a node: the projector, and the rebuild of what another release rendered."""

import logging
from collections.abc import Callable

from packledger.cli import wiring
from packledger.cli.settings import Settings
from packledger.cli.supervisor import Child, StopAsked
from packledger.projections.board import PROJECTIONS

log = logging.getLogger("packledger.projecting")


def prepare_read_models(settings: Settings) -> None:
    """Set damaged read models aside, before anything is read from them."""
    for name, damage in wiring.set_damaged_aside(settings).items():
        log.error("damaged, and built anew: %s", damage, extra={"projection": name})


def projecting(settings: Settings, begin: Callable[[], None] = lambda: None) -> list[Child]:
    """Return the processes that keep the read models up to date. begin: called first in each."""

    def project() -> None:
        begin()
        _project(settings)

    def rebuild_stale() -> None:
        begin()
        _rebuild_stale(settings)

    return [Child("projector", project), Child("rebuild", rebuild_stale, once=True)]


def _project(settings: Settings) -> None:
    stop = StopAsked()
    with wiring.opened_projector(settings) as projector:
        projector.run(stop)


def _rebuild_stale(settings: Settings) -> None:
    """Rebuild what another release rendered, behind what is being served."""
    registry = wiring.open_registry(settings, create=False)
    for name in PROJECTIONS:
        if wiring.is_stale(settings, name):
            log.info("rendering has changed: rebuilding", extra={"projection": name})
            outcome = wiring.run_rebuild(settings, registry, name)
            log.info("rebuilt", extra={"projection": name, "documents": outcome.documents})
    wiring.close_registry(registry)
