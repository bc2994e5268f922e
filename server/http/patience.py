"""How long a client may do nothing while it is its turn, judged at looks that are far apart."""

from typing import NamedTuple

MIN_BYTES_PER_S = 1024
"""A body that comes, or an answer that is taken, more slowly than this is given up."""


class Turn(NamedTuple):
    """What a client is waited for. request: which of the connection's; moved: bytes, growing."""

    wait: str
    request: int
    moved_bytes: int


class Patience:
    """What is remembered of a client between two looks.

    A look sees a moment. A client with many short requests may be in the middle of one at every
    look, and is not slow for that: time is counted for one wait of one request.
    """

    def __init__(self) -> None:
        self._turn: Turn | None = None
        self._since_s = 0.0

    def begin_anew(self) -> None:
        """Forget what was seen: the client has moved on."""
        self._turn = None

    def is_over(self, turn: Turn | None, now_s: float, patience_s: float) -> bool:
        """Return whether the client did too little since `patience_s`; None: it is not its turn."""
        seen, self._turn = self._turn, turn
        if turn is None:
            return False
        if seen is None or seen[:2] != turn[:2]:
            self._since_s = now_s
            return False
        if now_s - self._since_s < patience_s:
            self._turn = seen
            return False
        self._since_s = now_s
        return turn.moved_bytes - seen.moved_bytes < MIN_BYTES_PER_S * patience_s
