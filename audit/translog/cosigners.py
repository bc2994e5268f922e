"""All witnesses of a log: asked at once, waited for briefly, left alone while they fail."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from packledger.audit.translog.notes import Note, Signature
from packledger.audit.translog.proofs import Tree
from packledger.audit.translog.witness import NotWitnessed, Witness

PAUSE_S, MAX_PAUSE_S = 5.0, 300.0
"""How long a witness that did not cosign is left alone; doubled each time."""

log = logging.getLogger("packledger.signer")


class _Asked:
    """One witness, and how it does. missing: the newest checkpoint lacks its cosignature."""

    def __init__(self, witness: Witness) -> None:
        self.witness, self.missing = witness, False
        self.running: Future[Signature] | None = None
        self.pause_s, self.again_at_s = 0.0, 0.0

    def may_be_asked(self, now_s: float) -> bool:
        busy = self.running is not None and not self.running.done()
        return not busy and now_s >= self.again_at_s


class Cosigners:
    """The witnesses that the settings name; false when there is none."""

    def __init__(
        self, witnesses: Sequence[Witness] = (), clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock_s = clock_s
        self._asked = [_Asked(witness) for witness in witnesses]
        self._pool = ThreadPoolExecutor(max(1, len(witnesses)), thread_name_prefix="witness")
        # Its own answer has a time-out; the margin is for threads that wait for a core.
        self._patience_s = max((one.timeout_s for one in witnesses), default=0.0) + 0.5

    def __bool__(self) -> bool:
        return bool(self._asked)

    def due(self) -> bool:
        """Return whether a witness should be asked again about the newest checkpoint."""
        now_s = self._clock_s()
        return any(one.missing and one.may_be_asked(now_s) for one in self._asked)

    def cosigned(self, note: Note, size: int, tree: Tree) -> Note:
        """Return the checkpoint with the cosignatures that can be had now.

        An empty log is not shown to witnesses: there is nothing that it could continue.
        """
        have = {(one.name, one.key_id) for one in note.signatures}
        for one in self._asked:
            key = one.witness.key
            one.missing = size > 0 and (key.name, key.key_id) not in have
        now_s = self._clock_s()
        asked = [one for one in self._asked if one.missing and one.may_be_asked(now_s)]
        # What a witness signs, the log has signed: cosignatures are over the text alone.
        for one in asked:
            one.running = self._pool.submit(one.witness.cosign, note, size, tree)
        wait([one.running for one in asked if one.running], timeout=self._patience_s)
        got = [signature for one in asked if (signature := self._answer(one))]
        return Note(note.text, (*note.signatures, *got))

    def _answer(self, one: _Asked) -> Signature | None:
        assert one.running is not None
        try:
            signature = one.running.result(timeout=0)
        except (NotWitnessed, TimeoutError) as error:
            why = str(error) or f"the witness `{one.witness.key.name}` did not answer"
            one.pause_s = min(MAX_PAUSE_S, max(PAUSE_S, 2 * one.pause_s))
            one.again_at_s = self._clock_s() + one.pause_s
            log.warning("%s", why, extra={"again_in_s": one.pause_s})
            return None
        one.missing, one.pause_s, one.again_at_s = False, 0.0, 0.0
        return signature

    def close(self) -> None:
        """Wait for nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
