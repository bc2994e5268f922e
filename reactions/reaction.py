"""What a reaction is: it is told of events, in order, each at least once, and acts on the world."""

import enum
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from packledger.eventstore.log import Recorded


class Begins(enum.Enum):
    """Where a reaction begins in a log that was there before it."""

    NOW = enum.auto()
    """Behind the newest event at its very first start: nobody wants mail about last year."""
    BEGINNING = enum.auto()
    """At the first event: what it makes is to be there for everything."""


class Patience(msgspec.Struct, frozen=True):
    """How long a reaction may take, and how often it is tried.

    lease_s: how long after the death of who acts another one goes on; limit_s: the longest that
    `act` can take, after which its process ends; tries: until an event is parked; first_s and
    longest_s: the pause behind the first attempt, and at most, twice as long each time. A turn is
    looked after twice a second, so the lease should be a few seconds.
    """

    lease_s: float = 15.0
    limit_s: float = 60.0
    tries: int = 8
    first_s: float = 0.5
    longest_s: float = 60.0


class Page(msgspec.Struct, frozen=True):
    """What is to be acted on: events that are wanted, in order, at least one.

    attempt: from 1 on; from 2 on some of it may have been done. fence: never smaller than before,
    except where somebody acts whose turn is over: who takes it along can refuse those. stopping:
    whether the process is to end, which a long act may look at.
    """

    events: Sequence[Recorded]
    attempt: int
    fence: int
    stopping: Callable[[], bool]


class Reaction(Protocol):
    """Acts on the world, in a thread of its own; nothing waits for it.

    name: for ever, its checkpoint has it; page_events: the most that it is given at once.
    """

    name: str
    begins: Begins
    page_events: int
    patience: Patience

    def wants(self, recorded: Recorded) -> bool:
        """Return whether it acts on an event; pure and quick, the others are passed over."""
        ...

    def act(self, page: Page) -> None:
        """Act on events; once it returns they are done with.

        Whoever dies in between leaves it to another to act on them again. Any exception is an
        attempt that failed. Everybody can read the sentence of a `RegistryError` in `/health`; of
        other exceptions only the type is shown, since an address may be a secret.
        """
        ...
