"""The read models of a node: the projector, and the rebuild of what another release rendered."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import closing

from packledger.domain.errors import Unavailable
from packledger.eventstore.damaged_log import DamagedLog
from packledger.projections.board import Board
from packledger.server import wiring
from packledger.server.processes.rebuilding import rebuild_in_processes
from packledger.server.processes.supervisor import Child, StopAsked
from packledger.server.settings.settings import Settings
from packledger.server.stores import places_of

log = logging.getLogger("packledger.projecting")

POLL_S = 0.05
LONG_LOG_EVENTS = 20_000
"""From here on, starting processes for it costs less than they save."""


def prepare_read_models(settings: Settings) -> None:
    """Set damaged read models aside, before anything is read from them."""
    for name, damage in wiring.set_damaged_aside(settings).items():
        log.error("damaged, and built anew: %s", damage, extra={"projection": name})
    if settings.static.tree:
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

    def follow() -> None:
        begin()
        _follow(settings)

    children = [Child("projector", project), Child("rebuild", rebuild_stale, once=True)]
    if wiring.projections_of(settings, awaited=False):
        children.append(Child("follower", follow))
    if settings.static.tree:
        children.append(Child("static tree", write_static_tree))
    return children


def _follow(settings: Settings) -> None:
    """Keep up what no publish waits for; begin when what is awaited is there."""
    with closing(Board(places_of(settings).board)) as board:
        while not all(map(board.readable, wiring.projections_of(settings, awaited=True))):
            board.beat(awaited=False)
            time.sleep(POLL_S)
    _project(settings, awaited=False)


def _project(settings: Settings, *, awaited: bool = True) -> None:
    build_from_long_log(settings, awaited=awaited)
    stop = StopAsked()
    with wiring.opened_projector(settings, awaited) as projector:
        try:
            projector.run(stop)
        except DamagedLog as error:
            log.critical("the projector stops: %s", error.sentence)
            sys.exit(1)


def build_from_long_log(settings: Settings, *, awaited: bool = True) -> None:
    """Build what was never up to date as a rebuild does: on every core, without journals."""
    names = wiring.never_built(settings, awaited=awaited)
    if not names or wiring.length_of_log(settings) < LONG_LOG_EVENTS:
        return
    log.info("building read models from the whole log", extra={"projections": names})
    with closing(Board(places_of(settings).board)) as board:

        def show(done: int, total: int) -> None:
            board.beat(awaited=awaited)
            for name in names:
                if not board.readable(name):
                    board.set_position(name, done)

        try:
            rebuild_in_processes(settings, names, check=False, progress=show)
        except Unavailable as error:
            log.error("building is left to the projector: %s", error.sentence)


def _rebuild_stale(settings: Settings) -> None:
    """Rebuild what another release rendered, behind what is being served."""
    registry = wiring.open_registry(settings, create=False)
    for name in wiring.projections_of(settings):
        if wiring.is_stale(settings, name):
            log.info("rendering has changed: rebuilding", extra={"projection": name})
            outcome = wiring.run_rebuild(settings, registry, name)
            log.info("rebuilt", extra={"projection": name, "position": outcome.position})
    wiring.close_registry(registry)
