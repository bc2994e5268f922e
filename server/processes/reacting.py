"""The process of the reactions: a child of `serve`, where there are any."""

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import closing

from packledger.eventstore.log import Log
from packledger.feeds.store_feed import StoreFeed
from packledger.reactions.keeper import Keeper, Waker
from packledger.reactions.reaction import Reaction
from packledger.reactions.runner import Runner
from packledger.server.processes.supervisor import Child, StopAsked
from packledger.server.settings.settings import Settings
from packledger.server.stores import open_store

log = logging.getLogger("packledger.reactions")


def reacting(
    settings: Settings, reactions: Sequence[Reaction], begin: Callable[[], None]
) -> list[Child]:
    """Return the process that runs reactions; none where there is none. begin: called in it first.

    Of several nodes any may have it: one of them acts at a time.
    """

    def run() -> None:
        begin()
        react(settings, reactions)

    return [Child("reactions", run)] if reactions else []


def react(settings: Settings, reactions: Sequence[Reaction]) -> None:
    """Run reactions until SIGTERM.

    They read the event store itself, also where the read models come from Kafka: their checkpoints
    are in it, so neither can be ahead of the other.
    """
    stop = StopAsked()
    store = open_store(settings, create=False)
    waker = Waker()
    with closing(Log(store)) as history, closing(StoreFeed(history)) as feed:
        table = store.reactions()
        runners = [Runner(one, history, table, lambda: waker.stopping) for one in reactions]
        why = Keeper(runners, waker).run(feed.wait, stop)
    if why:
        log.critical("the process of the reactions ends and is to be started again: %s", why)
        sys.exit(1)
