"""Receipts of a running registry: made for whoever may read the package, and verified offline."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cargo_client import put_crate
from log_checker import Witness, check, fsck
from npm_client import published
from packledger.audit.translog.checkpoint import Checkpoint
from packledger.audit.translog.notes import new_key, parse_verifier
from packledger.audit.translog.receipts import (
    BadReceipt,
    Receipt,
    check_state,
    make_receipt,
    parse_receipt,
    published_file,
    verify_receipt,
)
from packledger.projections.log_tiles.form import entry_of
from packledger.projections.log_tiles.merkle import leaf_hash
from processes import run
from running_registry import PACKLEDGER, RunningRegistry
from small_registry import memory_folder
from small_trees import LOG, MemoryTiles
from uploads import crate, new_crate

KEY = new_key("registry.example.com/log")
NO_ENV: dict[str, str] = {"PATH": os.environ["PATH"]}
"""Whoever verifies has no settings."""


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    with memory_folder() as folder, closing(Witness(folder)) as witness:
        witness.start()
        yield witness


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, witness: Witness) -> Iterator[RunningRegistry]:
    """A private registry with a crate, a package and a witness."""
    running = RunningRegistry(
        tmp_path_factory.mktemp("signed"),
        private=True,
        witnesses=f"{witness.vkey} {witness.url}",
    )
    try:
        running.start()
        running.add_user("alice")
        witness.knows(parse_verifier(vkey(running)))
        assert put_crate(running, new_crate("Demo_One", "1.0.0")).status_code == 200
        published(running, "@acme/tool", "2.0.0")
        wait_for_everything(running, witness)
        yield running
    finally:
        running.close()


def vkey(registry: RunningRegistry) -> str:
    return registry.cli("log", "key").strip()


def position(registry: RunningRegistry) -> int:
    url = f"http://127.0.0.1:{registry.port}/health"
    return int(httpx.get(url, headers=registry.token()).json()["position"])


def checkpoint(registry: RunningRegistry) -> str:
    answer = registry.http.get("/log/checkpoint", headers=registry.token())
    return answer.text if answer.status_code == 200 else ""


def wait_for_everything(registry: RunningRegistry, witness: Witness) -> str:
    """Wait for a cosigned checkpoint of all events, and return it."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        note = checkpoint(registry)
        if f"\n{position(registry)}\n" in note and witness.name in note:
            return note
        time.sleep(0.05)
    raise AssertionError(f"no cosigned checkpoint:\n{note}\n{registry.end_of_log()}")


@pytest.mark.parametrize(
    ("subject", "fields"),
    [
        ("cargo:demo-one@1.0.0", ["crate.version_published.v1", "name      Demo_One", "cksum "]),
        ("npm:@acme/tool@2.0.0", ["npm.version_published.v1", "name      @acme/tool", "tarball "]),
    ],
)
def test_a_version_gets_a_receipt_that_needs_no_registry(
    signed: RunningRegistry, witness: Witness, tmp_path: Path, subject: str, fields: list[str]
) -> None:
    file = tmp_path / "a.tlog-proof"
    signed.cli("receipt", subject, "--out", str(file))
    assert signed.cli("receipt", subject).encode() == file.read_bytes()
    offline = [PACKLEDGER, "verify-receipt", str(file), "--key", vkey(signed)]
    said = run([*offline, "--witness", witness.vkey], cwd=tmp_path, env=NO_ENV).stdout
    assert f"verified: in the log {signed.url.partition('://')[2]}/log" in said
    assert all(field in said for field in [*fields, "actor     alice", "version   "])
    assert check("receipt", str(file), vkey(signed), witness.vkey)[0]


def test_a_receipt_leads_to_the_published_file_and_to_no_other(
    signed: RunningRegistry, tmp_path: Path
) -> None:
    file, right, wrong = (tmp_path / name for name in ("receipt", "right.crate", "wrong.crate"))
    signed.cli("receipt", "cargo:Demo_One@1.0.0", "--out", str(file))
    download = "/cargo/crates/Demo_One/1.0.0/download"
    right.write_bytes(signed.http.get(download, headers=signed.token()).content)
    wrong.write_bytes(crate("Demo_One", "1.0.0", package='description = "evil"'))
    command = [PACKLEDGER, "verify-receipt", str(file), "--key", vkey(signed)]
    said = run([*command, "--crate", str(right)], cwd=tmp_path, env=NO_ENV).stdout
    assert said.endswith("right.crate` is what was published\n")
    told = json.loads(run([*command, "--json"], cwd=tmp_path, env=NO_ENV).stdout)
    assert told["state"]["cksum"] == hashlib.sha256(right.read_bytes()).hexdigest()
    assert told["entry"]["actor"] == "alice"
    refused = run([*command, "--tarball", str(wrong)], cwd=tmp_path, env=NO_ENV, fails=True)
    assert refused.code == 1
    assert f"`{wrong}`: the file's SHA-256 is" in refused.stderr
    refused = run([*command, "--state", str(wrong)], cwd=tmp_path, env=NO_ENV, fails=True)
    assert refused.code == 1
    assert f"`{wrong}`: the state is not the one" in refused.stderr
    other = [*command[:-1], str(new_key("other.example.com/log").verifier)]
    refused = run(other, cwd=tmp_path, env=NO_ENV, fails=True)
    assert refused.code == 1
    assert f"`{file}`: the checkpoint is of the log" in refused.stderr
    mistyped = run([*command[:-1], "x+00000000+AAAA"], cwd=tmp_path, env=NO_ENV, fails=True)
    assert mistyped.code == 2


def test_what_has_no_receipt_is_said(signed: RunningRegistry) -> None:
    for subject, what in (
        ("cargo:demo_one@9.9.9", "has no version `9.9.9`"),
        ("npm:nothing@1.0.0", "has no version"),
        ("demo", "must be cargo:NAME@VERSION"),
    ):
        assert what in signed.cli("receipt", subject, fails=True)
    http, who = signed.http, signed.token()
    beyond = position(signed) + 1
    for at in (beyond, 10**17, 0, -1, "x", "1.5", "\u0663", "9" * 40):
        answer = http.get(f"/audit/receipt/{at}", headers=who)
        assert answer.status_code == 404, at
    assert (
        f"`{beyond}` is not in the log's checkpoint"
        in (http.get(f"/audit/receipt/{beyond}", headers=who).json()["error"])
    )


def test_the_state_of_accounts_and_tokens_is_in_no_receipt(signed: RunningRegistry) -> None:
    key = parse_verifier(vkey(signed))
    seen = set()
    for at in range(1, position(signed) + 1):
        answer = signed.http.get(f"/audit/receipt/{at}", headers=signed.token())
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        proven = verify_receipt(parse_receipt(answer.content), key)
        assert proven.entry.position == at
        kind = proven.entry.type.partition(".")[0]
        assert bool(proven.state) == (kind in {"crate", "npm"})
        seen.add(kind)
    assert seen >= {"registry", "account", "token", "crate", "npm"}


def test_health_and_verify_name_the_witness(signed: RunningRegistry, witness: Witness) -> None:
    wait_for_everything(signed, witness)
    assert (
        signed.http.get("/health", headers=signed.token()).json()["log"]["witness"] == witness.name
    )
    report = json.loads(signed.cli("verify", "--json"))
    assert (report["faults"], report["notes"]) == ([], [])


def test_without_a_witness_health_and_verify_say_so(registry: RunningRegistry) -> None:
    assert registry.http.get("/health").json()["log"]["witness"] == "no witness"
    notes = json.loads(registry.cli("verify", "--json"))["notes"]
    assert any(note.startswith("no witness: nobody else remembers") for note in notes)
    assert "\nnote: no witness" in f"\n{registry.cli('verify')}"


def test_a_private_registrys_log_needs_a_token(signed: RunningRegistry, tmp_path: Path) -> None:
    for path in ("log/checkpoint", "log/vkey", "log/tile/0/000.p/1", "log/tile/entries/000.p/1"):
        assert signed.http.get(f"/{path}").status_code == 401
        answer = signed.http.get(f"/{path}", headers=signed.token())
        assert answer.status_code == 200
        assert "public" not in answer.headers["cache-control"]
    assert signed.http.get("/audit/receipt/1").status_code == 401
    well, said = fsck(
        signed.url, parse_verifier(vkey(signed)), tmp_path, token=signed.tokens["alice"]
    )
    assert well, said


def test_each_event_is_signed_and_cosigned_in_a_moment(
    signed: RunningRegistry, witness: Witness
) -> None:
    before = wait_for_everything(signed, witness)
    assert put_crate(signed, new_crate("later", "1.0.0")).status_code == 200
    assert wait_for_everything(signed, witness) != before


def test_a_rotated_key_signs_at_once_and_the_old_one_until_it_is_retired(
    signed: RunningRegistry, witness: Witness
) -> None:
    old = parse_verifier(vkey(signed))
    new = parse_verifier(signed.cli("log", "rotate").strip())
    deadline_s = time.monotonic() + 20
    while new.key_id.hex() not in signed.http.get("/log/vkey", headers=signed.token()).text:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert signed.cli("log", "key", "--all").split() == [str(new), str(old)]
    for key in (old, new):
        receipt = signed.cli("receipt", "cargo:Demo_One@1.0.0").encode()
        verify_receipt(parse_receipt(receipt), key)
    assert "newest" in signed.cli("log", "retire", new.key_id.hex(), fails=True)
    signed.cli("log", "retire", old.key_id.hex())
    assert signed.cli("log", "key", "--all").split() == [str(new)]


STATE = LOG[0].state
ENTRIES = [entry_of(one) for one in LOG[:700]]
TILES = MemoryTiles()
for _entry in ENTRIES:
    TILES.add(leaf_hash(_entry))
NOTE = str(KEY.sign(Checkpoint(KEY.verifier.name, 700, TILES.tree.root(700)).text()))


def receipt_of(position: int, state: bytes = STATE) -> bytes:
    return make_receipt(ENTRIES[position - 1], position - 1, NOTE, 700, TILES.tree, state)


@given(st.integers(1, 700), st.booleans())
def test_every_receipt_proves_its_entry(position: int, told: bool) -> None:
    data = receipt_of(position, STATE if told else b"")
    proven = verify_receipt(parse_receipt(data), KEY.verifier)
    assert proven.entry.position == position
    assert proven.state == (STATE if told else b"")
    check_state(proven.entry, STATE)


@settings(max_examples=400)
@given(st.data())
def test_no_byte_of_a_receipt_may_be_another(data: st.DataObject) -> None:
    receipt = receipt_of(300)
    at = data.draw(st.integers(0, len(receipt) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != receipt[at]))
    with pytest.raises(BadReceipt):
        verify_receipt(
            parse_receipt(receipt[:at] + bytes([byte]) + receipt[at + 1 :]), KEY.verifier
        )


@given(st.binary(max_size=200))
def test_any_bytes_are_a_receipt_or_refused(data: bytes) -> None:
    whole = receipt_of(3)
    for candidate in (data, whole + data, data + whole, whole[:100] + data + whole[100:]):
        if candidate != whole:
            with pytest.raises(BadReceipt):
                verify_receipt(parse_receipt(candidate), KEY.verifier)


def test_an_entry_of_another_place_and_a_foreign_entry_prove_nothing() -> None:
    one, other = (parse_receipt(receipt_of(at)) for at in (3, 4))
    with pytest.raises(BadReceipt, match="does not lead to the root"):
        verify_receipt(
            Receipt(one.index, one.proof, one.note, other.entry, other.state), KEY.verifier
        )
    with pytest.raises(BadReceipt, match="has not cosigned"):
        verify_receipt(one, KEY.verifier, [new_key("witness.example.com").verifier])


def test_a_receipt_without_the_state_does_not_say_which_file_was_published() -> None:
    proven = verify_receipt(parse_receipt(receipt_of(3, b"")), KEY.verifier)
    with pytest.raises(BadReceipt, match="add --state"):
        published_file(proven, required=True)
    with pytest.raises(BadReceipt, match="SHA-256 is in the log"):
        check_state(proven.entry, b"another state")
