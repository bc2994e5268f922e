"""The projector's board: a small file, mapped by every process, that says how far it is.

A command waits on it, a web worker compares it with what it cached, `/health` reads it. It is only
a hint: checkpoints live with the rows, and the board is written anew from them. A slot is 8 bytes,
aligned, so it is read and written whole.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from packledger.eventstore.bell import Bell
from packledger.eventstore.mapped_file import map_shared
from packledger.projections import catalogue

ABSENT, RUNNING, FAILED, BUILDING = 0, 1, 2, 3
"""ABSENT: of a projection that needs a setting, this node has none. BUILDING: the live generation
was not up to date yet since the start, so nothing is read from it: cargo would take the 404 of half
an index for "no such crate"."""
HEARTBEAT_LATE_S = 2.0
"""A projector that has been silent for this long is taken to be down, and nobody waits for it."""

SLOTS = 512
FIRST_SLOT, SLOTS_EACH = 8, 8
"""Those before are the board's own, the others the projections', as `catalogue` deals them."""
_HEARTBEAT, _FEED_SILENT, _OVERDUE, _DAMAGED, _BELL, _HEARTBEAT_OF_FOLLOWER = 0, 1, 2, 3, 4, 5
_SLOT_BYTES = 8
_POSITION, _GENERATION, _STATE = 0, 1, 2
_SIZE_BYTES = _SLOT_BYTES * SLOTS


class Board:
    """The mapped file. Written by the projector and by a rebuild that swaps; read by everybody."""

    def __init__(self, path: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._map, fd = map_shared(path, _SIZE_BYTES)
        os.close(fd)
        self._slots = memoryview(self._map).cast("Q")
        self.moved = Bell(self._map, _BELL * _SLOT_BYTES)
        """Rings when the projector has written here what somebody may wait for."""
        self._clock_s = clock_s
        self._first = {row.name: row.slot for row in catalogue.rows()}
        self._on_every_node = catalogue.on_every_node()
        self._awaited = [row.name for row in catalogue.rows() if row.awaited]

    def close(self) -> None:
        """Unmap the file."""
        self._slots.release()
        self.moved.release()
        self._map.close()

    def beat(self, *, awaited: bool = True) -> None:
        """Say that the projector lives, or the one behind it, of what nobody waits for."""
        self._slots[_heartbeat(awaited)] = int(self._clock_s() * 1000)

    def stop(self, *, awaited: bool = True) -> None:
        """Say that the projector ended, so that nobody waits for it, or the one behind it."""
        self._slots[_heartbeat(awaited)] = 0
        self.moved.ring()

    def reset(self) -> None:
        """Forget what another run left here: nothing is read until the projector has caught up."""
        self._map[:] = bytes(_SIZE_BYTES)

    def set_unreadable(self) -> None:
        """Have nothing read until the projector, which is not there, has come and caught up."""
        self._slots[_DAMAGED] = 0
        for projection in self._on_every_node:
            self.set_state(projection, BUILDING)

    def projector_lives(self, *, awaited: bool = True) -> bool:
        """Return whether the projector was heard of lately; not if that was before a reboot.

        awaited: False for the one behind it.
        """
        beat_s = self._slots[_heartbeat(awaited)] / 1000
        return beat_s > 0 and 0 <= self._clock_s() - beat_s < HEARTBEAT_LATE_S

    def set_feed_silent(self, silent: bool) -> None:
        """Say that the feed does not answer, or does again."""
        self._slots[_FEED_SILENT] = silent

    def set_overdue(self, position: int) -> None:
        """Say that somebody has waited for a position in vain."""
        self._slots[_OVERDUE] = position

    def overdue(self) -> bool:
        """Return whether events are known that do not arrive here, so that nobody waits for more.

        The feed does not answer, or somebody has waited in vain and nothing has come since then.
        """
        return bool(self._slots[_FEED_SILENT] or self.waiting_for(self._slots[_OVERDUE]))

    def set_damaged(self) -> None:
        """Say that the event store is damaged; until the node is started again."""
        self._slots[_DAMAGED] = 1

    def damaged(self) -> bool:
        """Return whether somebody here has seen that the event store is damaged."""
        return bool(self._slots[_DAMAGED])

    def position(self, projection: str) -> int:
        """Return the last position that a projection has committed."""
        return self._slots[self._first[projection] + _POSITION]

    def set_position(self, projection: str, position: int) -> None:
        """Say that a projection committed up to a position."""
        self._slots[self._first[projection] + _POSITION] = position

    def state(self, projection: str) -> tuple[int, int]:
        """Return `generation` and `position`; of every hit, so at once."""
        slots, first = self._slots, self._first[projection]
        return slots[first + _GENERATION], slots[first + _POSITION]

    def generation(self, projection: str) -> int:
        """Return a number that changes whenever a projection's files are swapped."""
        return self._slots[self._first[projection] + _GENERATION]

    def set_generation(self, projection: str, generation: int) -> None:
        """Say which generation of a projection is live."""
        self._slots[self._first[projection] + _GENERATION] = generation

    def failed(self, projection: str) -> bool:
        """Return whether a projection stopped at an event that it cannot apply."""
        return self._slots[self._first[projection] + _STATE] == FAILED

    def readable(self, projection: str) -> bool:
        """Return whether a projection's live generation has been up to date since the start."""
        return self._slots[self._first[projection] + _STATE] in {RUNNING, FAILED}

    def set_state(self, projection: str, state: int) -> None:
        """Say that a projection is `RUNNING`, `FAILED` or `BUILDING`."""
        self._slots[self._first[projection] + _STATE] = state

    def present(self) -> tuple[str, ...]:
        """Return the projections that this node has."""
        return tuple(filter(self._is_present, self._first))

    def _is_present(self, projection: str) -> bool:
        state = self._slots[self._first[projection] + _STATE]
        return state != ABSENT or projection in self._on_every_node

    def waiting_for(self, position: int) -> list[str]:
        """Return the awaited projections that are healthy and have not reached a position."""
        slots, first = self._slots, self._first  # a publish asks this several times
        behind = [name for name in self._awaited if slots[first[name] + _POSITION] < position]
        return [name for name in behind if self._is_present(name) and not self.failed(name)]


def _heartbeat(awaited: bool) -> int:
    return _HEARTBEAT if awaited else _HEARTBEAT_OF_FOLLOWER
