"""The log's key on another machine: `serve` without it, `packledger sign --url` with it."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cargo_client import put_crate
from log_checker import Witness, fsck
from packledger.audit.translog.checkpoint import Checkpoint, open_checkpoint
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import Note, Signature, new_key, parse_note, parse_verifier
from running_registry import PACKLEDGER, RunningRegistry, environment
from small_registry import memory_folder
from uploads import new_crate

DEADLINE_S = 40


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    with memory_folder() as folder, closing(Witness(folder)) as witness:
        witness.start()
        yield witness


class Elsewhere:
    """Another machine: nothing of the registry's but its URL and a token."""

    def __init__(self, folder: Path, witness: Witness) -> None:
        self.keys, self._folder = folder / "keys", folder
        self.environment = environment({"witnesses": f"{witness.vkey} {witness.url}"})
        self.said = folder / "sign.log"

    def begun(self) -> int:
        """How often a signer said which key it has: from then on it ends as it is told to."""
        return self.said.read_text().count("signing as") if self.said.exists() else 0

    @contextmanager
    def signing(self, registry: RunningRegistry) -> Iterator[subprocess.Popen[bytes]]:
        command = [PACKLEDGER, "sign", "--url", registry.url, "--key", str(self.keys)]
        env = {**self.environment, "PACKLEDGER_TOKEN": registry.tokens["alice"]}
        begun = self.begun()
        with self.said.open("ab") as said:
            process = subprocess.Popen(command, cwd=self._folder, env=env, stdout=said, stderr=said)
        try:
            deadline_s = time.monotonic() + DEADLINE_S
            while self.begun() == begun:
                assert time.monotonic() < deadline_s, self.said.read_text()
                time.sleep(0.05)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0, self.said.read_text()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, witness: Witness) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"), witness)


@pytest.fixture(scope="module")
def registry(
    tmp_path_factory: pytest.TempPathFactory, elsewhere: Elsewhere, witness: Witness
) -> Iterator[RunningRegistry]:
    """A private registry whose key was made on the other machine."""
    key = new_key("registry.example.com/log")
    elsewhere.keys.mkdir()
    (elsewhere.keys / "log.key").write_text(f"{key.encoded()}\n")
    witness.knows(key.verifier)
    running = RunningRegistry(
        tmp_path_factory.mktemp("keyless"),
        private=True,
        log_vkey=str(key.verifier),
        witnesses=f"{witness.vkey} {witness.url}",
    )
    try:
        running.start()
        running.add_user("alice")
        assert put_crate(running, new_crate("first", "1.0.0")).status_code == 200
        yield running
    finally:
        running.close()


def served(registry: RunningRegistry) -> str:
    answer = registry.http.get("/log/checkpoint", headers=registry.token())
    return answer.text if answer.status_code == 200 else ""


def signed_whole(registry: RunningRegistry, witness: Witness) -> Note:
    """Wait for a cosigned checkpoint of all events."""
    position = registry.http.get("/health", headers=registry.token()).json()["position"]
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        note = served(registry)
        if f"\n{position}\n" in note and witness.name in note:
            return parse_note(note.encode())
        time.sleep(0.05)
    raise AssertionError(f"{note}\n{registry.end_of_log()}")


def put(registry: RunningRegistry, note: Note | bytes) -> int:
    body = note if isinstance(note, bytes) else str(note).encode()
    answer = registry.http.put("/log/checkpoint", content=body, headers=registry.token())
    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    return answer.status_code


def test_the_registry_has_no_key_and_its_log_is_signed_and_cosigned(
    registry: RunningRegistry, elsewhere: Elsewhere, witness: Witness, tmp_path: Path
) -> None:
    assert (
        registry.http.get("/health", headers=registry.token()).json()["log"]["state"]
        == "not signed"
    )
    with elsewhere.signing(registry):
        signed_whole(registry, witness)
        assert put_crate(registry, new_crate("second", "1.0.0")).status_code == 200
        note = signed_whole(registry, witness)
    assert not list(registry.data.glob("log.*")), "neither the key nor what it signed last"
    vkey = LogKeys(elsewhere.keys).all()[0].verifier
    open_checkpoint(str(note).encode(), vkey)
    assert registry.cli("log", "key").strip() == str(vkey)
    assert registry.http.get("/health", headers=registry.token()).json()["log"] == {
        "state": "signed",
        "size": int(note.text.split("\n")[1]),
        "why": "",
        "witness": witness.name,
    }
    report = json.loads(registry.cli("verify", "--json"))
    assert (report["faults"], report["notes"]) == ([], [])
    well, said = fsck(registry.url, vkey, tmp_path, token=registry.tokens["alice"])
    assert well, said


def test_a_signer_that_starts_again_continues_and_one_is_enough(
    registry: RunningRegistry, elsewhere: Elsewhere, witness: Witness
) -> None:
    with elsewhere.signing(registry):
        assert put_crate(registry, new_crate("third", "1.0.0")).status_code == 200
        signed_whole(registry, witness)
        second = subprocess.run(
            [PACKLEDGER, "sign", "--url", registry.url, "--key", str(elsewhere.keys)],
            env=elsewhere.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (second.returncode, "another process signs" in second.stderr) == (1, True)


def test_nothing_is_served_but_what_the_key_has_signed_of_this_log(
    registry: RunningRegistry, elsewhere: Elsewhere, witness: Witness
) -> None:
    with elsewhere.signing(registry):
        before = signed_whole(registry, witness)
    key = LogKeys(elsewhere.keys).all()[0]
    other = new_key(key.verifier.name)
    size = int(before.text.split("\n")[1])
    bad = {
        "nothing": (b"", 400),
        "rubbish": (b"\xff\xfe", 400),
        "another key": (other.sign(before.text), 400),
        "another log": (key.sign(before.text.replace("registry.", "other.")), 400),
        "another history": (key.sign(Checkpoint(key.verifier.name, size, b"x" * 32).text()), 409),
        "an older one": (key.sign(Checkpoint(key.verifier.name, 0, b"x" * 32).text()), 409),
        "the future": (key.sign(Checkpoint(key.verifier.name, 10**6, b"x" * 32).text()), 503),
        "too long": (b"x" * 100_000, 413),
    }
    for what, (note, status) in bad.items():
        assert put(registry, note) == status, what
    stranger = registry.http.put("/log/checkpoint", content=str(before).encode())
    assert stranger.status_code == 401, "it is private"
    assert served(registry) == str(before)


def test_nobody_adds_lines_to_a_checkpoint_or_takes_cosignatures_away(
    registry: RunningRegistry, elsewhere: Elsewhere, witness: Witness
) -> None:
    with elsewhere.signing(registry):
        before = signed_whole(registry, witness)
    junk = Signature("advertisement", b"1234", b"x" * 64)
    forged = Signature(witness.name, parse_verifier(witness.vkey).key_id, b"y" * 72)
    alone = tuple(one for one in before.signatures if one.name != witness.name)
    for signatures in ((*before.signatures, junk), alone, (*alone, forged)):
        assert put(registry, Note(before.text, signatures)) == 204
        assert served(registry) == str(before)


def test_a_changed_event_store_is_not_signed(
    registry: RunningRegistry, elsewhere: Elsewhere, witness: Witness, tmp_path: Path
) -> None:
    """What is remembered is beside the key: the other machine has all that it takes."""
    with elsewhere.signing(registry):
        signed_whole(registry, witness)
    key = LogKeys(elsewhere.keys).all()[0]
    size = int(LogKeys(elsewhere.keys).remembered().split("\n")[1])
    LogKeys(elsewhere.keys).remember(
        str(key.sign(Checkpoint(key.verifier.name, size, b"z" * 32).text()))
    )
    assert put_crate(registry, new_crate("fourth", "1.0.0")).status_code == 200
    before = served(registry)
    with elsewhere.signing(registry):
        deadline_s = time.monotonic() + DEADLINE_S
        while "are not those that were signed" not in elsewhere.said.read_text():
            assert time.monotonic() < deadline_s, elsewhere.said.read_text()
            time.sleep(0.05)
    assert served(registry) == before


def test_a_registry_that_has_its_key_accepts_none(tmp_path: Path) -> None:
    registry = RunningRegistry(tmp_path)
    registry.start()
    try:
        note = str(new_key("x/log").sign(Checkpoint("x/log", 0, b"x" * 32).text()))
        answer = registry.http.put("/log/checkpoint", content=note.encode())
        assert (answer.status_code, "signs its log itself" in answer.text) == (403, True)
    finally:
        registry.close()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--url", "http://x"], 2, "go together"),
        (["--key", "keys"], 2, "go together"),
        (["--url", "http://x:y", "--key", "keys"], 1, "is no URL of a registry"),
        (["--url", "ftp://x", "--key", "keys"], 1, "is no URL of a registry"),
    ],
)
def test_a_signer_says_what_it_needs(
    tmp_path: Path, options: list[str], code: int, says: str
) -> None:
    told = subprocess.run(
        [PACKLEDGER, "sign", *options],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, says in told.stderr) == (code, True), told.stderr


def test_a_registry_that_is_signed_elsewhere_signs_nothing_itself(
    registry: RunningRegistry,
) -> None:
    assert "signed elsewhere" in registry.cli("sign", fails=True)
