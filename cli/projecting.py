"""The read models of a node: the projector, and the rebuild of what another release rendered."""

import logging
import sys
from collections.abc import Callable

from packledger.cli import wiring
from packledger.cli.settings import Settings
from packledger.cli.supervisor import Child, StopAsked
from packledger.eventstore.damaged_log import DamagedLog

log = logging.getLogger("packledger.projecting")


def prepare_read_models(settings: Settings) -> None:
    """Set damaged read models aside, before anything is read from them."""
    for name, damage in wiring.set_damaged_aside(settings).items():
        log.error("damaged, and built anew: %s", damage, extra={"projection": name})
    if settings.static_tree:
        with wiring.opened_static_writer(settings) as writer:
            writer.adopt()


def projecting(settings: Settings, begin: Callable[[], None] = lambda: None) -> list[Child]:
    """Return the processes that keep the read models up to date. begin: called first in each."""

    def project() -> None:
        begin()
        _project(settings)

    def rebuild_stale() -> None:
        begin()
        _rebuild_stale(settings)

    def write_static_tree() -> None:
        begin()
        stop = StopAsked()
        with wiring.opened_static_writer(settings) as writer:
            writer.run(stop)

    children = [Child("projector", project), Child("rebuild", rebuild_stale, once=True)]
    if settings.static_tree:
        children.append(Child("static tree", write_static_tree))
    return children


def _project(settings: Settings) -> None:
    stop = StopAsked()
    with wiring.opened_projector(settings) as projector:
        try:
            projector.run(stop)
        except DamagedLog as error:
            log.critical("the projector stops: %s", error.sentence)
            sys.exit(1)


def _rebuild_stale(settings: Settings) -> None:
    """Rebuild what another release rendered, behind what is being served."""
    registry = wiring.open_registry(settings, create=False)
    for name in wiring.projections_of(settings):
        if wiring.is_stale(settings, name):
            log.info("rendering has changed: rebuilding", extra={"projection": name})
            outcome = wiring.run_rebuild(settings, registry, name)
            log.info("rebuilt", extra={"projection": name, "documents": outcome.documents})
    wiring.close_registry(registry)
