"""Witnesses, with a real litewitness: cosignatures come when they can, nothing waits for them."""

import http.server
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from log_checker import Witness as LiteWitness
from log_checker import check
from packledger.audit.translog.cosigners import PAUSE_S, Cosigners
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import (
    COSIGNATURE,
    BadNote,
    Note,
    VerifierKey,
    new_key,
    parse_note,
    parse_verifier,
)
from packledger.audit.translog.proofs import Tree
from packledger.audit.translog.receipts import parse_receipt, verify_receipt
from packledger.audit.translog.signer import OwnTiles, Signer
from packledger.audit.translog.witness import NotWitnessed, Witness, parse_witness
from packledger.projections.log_tiles.fold import LOG_TILES, size_of, tile_of
from packledger.server import wiring
from served_log import ServedLog
from small_registry import memory_folder


@pytest.fixture(scope="module")
def witness() -> Iterator[LiteWitness]:
    with memory_folder() as folder, closing(LiteWitness(folder)) as witness:
        witness.start()
        yield witness


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class WitnessedLog(ServedLog):
    """A log whose signer asks witnesses; the test moves the clock of their pauses."""

    def __init__(self, data: Path, witness: LiteWitness, *others: Witness) -> None:
        self.clock = Clock()
        self._witness, self._others = witness, others
        self.signer: Signer | None = None
        super().__init__(data, 0)
        # A name of its own: the witness remembers every log that it has seen.
        (data / "log.key").write_text(new_key(f"log.example.com{data}").encoded())
        witness.knows(self.key)
        self.tiles = wiring.open_reader(self.settings, self.registry.board, LOG_TILES)
        self.restart()

    def restart(self) -> None:
        """Sign in another process, which knows nothing of the witnesses."""
        if self.signer is not None:
            self.cosigners.close()
        url = f"{self._witness.vkey} {self._witness.url}"
        self.cosigners = Cosigners([parse_witness(url), *self._others], self.clock)
        self.signer = Signer(
            LogKeys(self.data),
            self.registry.checkpoints,
            OwnTiles(self.tiles.db),
            self.registry.log.last_position,
            self.cosigners,
        )

    def sign(self) -> None:
        if self.signer is not None:
            self.signer.step()

    @property
    def tree(self) -> Tree:
        return Tree(lambda *tile: tile_of(self.tiles.db(), *tile))

    @property
    def note(self) -> Note:
        return parse_note(self.row.published.encode())

    def cosigned(self) -> bool:
        """Whether the served checkpoint of the whole log has a valid cosignature."""
        assert self.note.text.split("\n")[1] == str(size_of(self.tiles.db()))
        return parse_verifier(self._witness.vkey).signed(self.note) is not None

    def close(self) -> None:
        self.cosigners.close()
        super().close()


@pytest.fixture
def log(witness: LiteWitness) -> Iterator[WitnessedLog]:
    with memory_folder() as folder, closing(WitnessedLog(folder, witness)) as log:
        yield log


def test_an_empty_log_is_not_shown_to_witnesses(log: WitnessedLog) -> None:
    log.sign()
    assert not log.cosigned()
    assert not log.cosigners.due()


def test_each_checkpoint_is_cosigned_and_continues_what_the_witness_has_seen(
    log: WitnessedLog, witness: LiteWitness
) -> None:
    size = 0
    for count in (1, 254, 1, 1, 300):
        log.append(count)
        size += count
        log.sign()
        assert log.cosigned()
        assert witness.seen(log.key) == size


def test_after_a_restart_the_size_that_the_witness_knows_is_learned_from_it(
    log: WitnessedLog, witness: LiteWitness
) -> None:
    log.append(5)
    log.sign()
    log.restart()
    log.append(5)
    log.sign()
    assert log.cosigned()
    assert witness.seen(log.key) == 10


def test_the_same_checkpoint_is_not_asked_for_again(
    log: WitnessedLog, witness: LiteWitness
) -> None:
    log.append(5)
    log.sign()
    row = log.row
    witness.stop()
    try:
        log.restart()
        log.sign()
        assert log.row == row
    finally:
        witness.start()


def test_a_witness_that_is_down_is_left_alone_for_a_while_and_asked_again(
    log: WitnessedLog, witness: LiteWitness
) -> None:
    witness.stop()
    try:
        log.append(5)
        log.sign()
        assert not log.cosigned(), "published all the same"
        assert not log.cosigners.due()
        log.append(1)
        log.sign()
        assert not log.cosigned()
    finally:
        witness.start()
    log.clock.now_s += PAUSE_S
    assert log.cosigners.due()
    log.sign()
    assert log.cosigned()


def test_a_witness_that_hangs_holds_nothing_up(log: WitnessedLog, witness: LiteWitness) -> None:
    os.kill(witness.pid, signal.SIGSTOP)
    try:
        log.append(5)
        began_s = time.monotonic()
        log.sign()
        took_s = time.monotonic() - began_s
        assert took_s < 20
        assert not log.cosigned()
        log.append(1)
        began_s = time.monotonic()
        log.sign()
        assert time.monotonic() - began_s < took_s / 2, "nobody waits for it a second time"
    finally:
        os.kill(witness.pid, signal.SIGCONT)
    log.clock.now_s += PAUSE_S
    deadline_s = time.monotonic() + 20
    while not log.cosigned() and time.monotonic() < deadline_s:
        log.sign()
    assert log.cosigned()


def test_a_log_that_the_witness_does_not_know_goes_on_without_it(
    log: WitnessedLog, caplog: pytest.LogCaptureFixture
) -> None:
    (log.data / "log.key").write_text(new_key("unknown.example.com").encoded())
    log.append(5)
    log.sign()
    assert not log.cosigned()
    assert "answered 404" in caplog.text


def test_a_witness_that_has_seen_more_says_that_the_store_was_restored(
    log: WitnessedLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.append(9)
    log.sign()
    assert log.cosigned()
    log.change_store("DELETE FROM stored_events WHERE position > 6")
    log.rebuild()
    log.publish("")
    (log.data / "log.signed").unlink()
    log.restart()
    log.sign()
    assert not log.cosigned()
    assert "has seen 9 entries of this log, which now has 6" in caplog.text


def test_a_rotated_key_keeps_the_cosignature(log: WitnessedLog) -> None:
    log.append(5)
    log.sign()
    LogKeys(log.data).rotate()
    log.sign()
    assert log.cosigned()
    assert [one.name for one in log.note.signatures].count(log.key.name) == 2


def test_a_receipt_proves_the_cosignature_to_tools_of_others(
    log: WitnessedLog, witness: LiteWitness
) -> None:
    log.append(700)
    log.sign()
    for position in (1, 256, 257, 700):
        with log.serving() as url:
            receipt = httpx.get(f"{url}/audit/receipt/{position}").content
        file = log.data / "receipt"
        file.write_bytes(receipt)
        well, said = check("receipt", str(file), str(log.key), witness.vkey)
        assert well, said
        key = parse_verifier(witness.vkey)
        proven = verify_receipt(parse_receipt(receipt), log.key, [key])
        assert proven.entry.position == position
        stranger = VerifierKey("other.example.com", COSIGNATURE, key.public)
        assert not check("receipt", str(file), str(log.key), str(stranger))[0]


def answering(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> type:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: pytest shows what failed."""

    return Handler


@contextmanager
def impostor(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A witness that answers as it likes; its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), answering(answer))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/below"
    server.shutdown()
    thread.join()
    server.server_close()


def says(status: int, body: bytes) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def drips(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    stop = threading.Event()
    while not stop.wait(0.02):
        handler.wfile.write(b"x")


KEY = VerifierKey("witness.example.com", COSIGNATURE, new_key("w").verifier.public)
WRONG = f"\N{EM DASH} {KEY.name} ".encode()


ANSWERS = {
    "nothing": (says(200, b""), "cosigned wrongly"),
    "no text": (says(200, b"\xff\n"), "cosigned wrongly"),
    "another key": (says(200, WRONG + b"AAAAAAAA\n"), "did not cosign with its key"),
    "too much": (says(200, b"x" * 100_000), "too long"),
    "no size": (says(409, b"what?\n"), "another tree of this size"),
    "conflict again": (says(409, b"1\n"), "answered 409"),
    "a larger size": (says(409, b"99\n"), "has seen 99 entries"),
    "broken": (says(500, b"<p>broken"), "answered 500: <p>broken"),
    "drips": (drips, "too slow"),
    "hangs up": (lambda handler: handler.connection.close(), "cannot be asked"),
}


@pytest.mark.parametrize("how", ANSWERS)
def test_whatever_a_witness_answers_is_a_sentence_in_time(how: str) -> None:
    answer, what = ANSWERS[how]
    note = new_key("log.example.com").sign("log.example.com\n1\nAAAA\n")
    leaf = b"\1" * 32
    with impostor(answer) as url:
        witness = Witness(KEY, url, timeout_s=0.3)
        began_s = time.monotonic()
        with pytest.raises(NotWitnessed, match=what):
            witness.cosign(note, 1, Tree(lambda *_: leaf))
        assert time.monotonic() - began_s < 5


def test_nobody_at_the_address_is_a_sentence() -> None:
    note = new_key("log.example.com").sign("log.example.com\n1\nAAAA\n")
    with pytest.raises(NotWitnessed, match=r"`witness\.example\.com` cannot be asked"):
        Witness(KEY, "http://127.0.0.1:1").cosign(note, 1, Tree(lambda *_: b"\1" * 32))


LOG_KEY = new_key("log").verifier


@pytest.mark.parametrize(
    "setting",
    ["", "x", "{KEY}", "{KEY} ftp://a", "{KEY} /path", "{KEY} http://", "{LOG_KEY} http://a"],
)
def test_a_setting_that_names_no_witness_is_refused(setting: str) -> None:
    with pytest.raises(BadNote):
        parse_witness(setting.format(KEY=KEY, LOG_KEY=LOG_KEY))
