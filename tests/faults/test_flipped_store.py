"""Whatever byte of the event store is damaged, it is said; nothing ends with a traceback."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click.testing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from byte_damage import Damage, damages
from packledger.api.web.package_views import read_package
from packledger.api.web.recipes import Recipes
from packledger.audit.past.export import export
from packledger.audit.past.packages import PastCrate
from packledger.audit.translog.notes import parse_note, parse_verifier
from packledger.cli.main import main
from packledger.commands import accounts
from packledger.commands.cargo import crates
from packledger.commands.npm import edits as npm_edits
from packledger.commands.npm.signing import BadSigningKey, check_key
from packledger.domain.errors import RegistryError, Unavailable, WrongPassword
from packledger.domain.events.cargo import CrateVersionYanked
from packledger.domain.events.event import encode, tag_of
from packledger.domain.streams import ACCOUNTS, CRATES, PACKAGES, REGISTRY
from packledger.eventstore import log as log_module
from packledger.eventstore.blobs.store import disk_errors_as_refusals
from packledger.eventstore.damaged_log import DamagedLog
from packledger.server import wiring
from packledger.server.processes.migrate import prepare_log, prepare_web
from packledger.server.processes.projecting import prepare_read_models
from packledger.server.processes.signing import check_nothing_lost, opened_signer
from packledger.server.wiring import opened
from small_registry import ADMIN, PUBLIC_URL, SmallRegistry, memory_folder
from verified_registry import Verified

PASSWORD = "password of alice"
STREAMS = [(REGISTRY, ""), (CRATES, "demo"), (PACKAGES, "@acme/tool"), (ACCOUNTS, "alice")]
AROUND = 2_000
"""Bytes of the file in which all of SQLite's own catalogue lies, and then some."""

with_budget = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Store:
    """A stopped registry with all kinds of rows in its event store, and damaged copies of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = Verified(folder / "whole")
        with opened(self.whole.settings) as registry:
            registry.board.stop()
            accounts.register(registry, registry.actor(""), "alice", PASSWORD, "admin")
            wiring.catch_up(self.whole.settings, registry)
        with opened_signer(self.whole.settings) as (signer, _):
            signer.step()
        with closing(sqlite3.connect(self.whole.data / "events.sqlite")) as db:
            db.execute("PRAGMA journal_mode = DELETE").fetchone()  # all of it in one file
        self.content = (self.whole.data / "events.sqlite").read_bytes()
        self.rows, self.states = rows_of(self.whole), states_of(self.whole)

    def damaged(self, folder: Path, damage: Damage) -> Verified:
        copied = self.whole.copied_to(folder / "copy")
        (copied.data / "events.sqlite").write_bytes(damage.done_to(self.content))
        return copied


def rows_of(verified: Verified) -> list[Any]:
    """Every row that nothing else could replace, as its readers understand it.

    Of a password nobody but its owner can tell what it was; of a signing key, whether it signs.
    """
    notes = verified.rows("SELECT published, signed, vkey, refusal FROM log_checkpoint")
    return [
        verified.rows("SELECT * FROM stored_events ORDER BY position"),
        [
            (parse_note(published.encode()), parse_note(signed.encode()), parse_verifier(vkey), why)
            for published, signed, vkey, why in notes
        ],
        verified.rows("SELECT account FROM credentials"),
        verified.rows("SELECT keyid FROM signing_keys"),
    ]


def states_of(verified: Verified) -> list[Any]:
    """What commands decide on, from snapshots where there are some."""
    with opened(verified.settings) as registry:
        return [registry.log.load(*stream) for stream in STREAMS]


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module, "SNAPSHOT_EVERY", 2)
        yield Store(folder)


def test_the_store_has_rows_of_every_kind(store: Store) -> None:
    assert store.whole.verify().faults == []
    tables = {name for (name,) in store.whole.rows("SELECT name FROM sqlite_master WHERE sql > ''")}
    tables.discard("setup")
    for table in tables:
        assert store.whole.rows(f"SELECT count(*) FROM {table}") != [(0,)], table
    assert tables >= {"stored_events", "stored_snapshots", "credentials", "signing_keys"}


@settings(with_budget, max_examples=300)
@given(st.data())
def test_damage_is_named_or_changes_nothing(store: Store, data: st.DataObject) -> None:
    damage = data.draw(damages(store.content))
    with memory_folder() as folder:
        damaged = store.damaged(folder, damage)
        if not damaged.verify().faults:
            assert damaged.rows("PRAGMA integrity_check(1)") == [("ok",)]
            assert rows_of(damaged) == store.rows
            assert states_of(damaged) == store.states


@settings(with_budget, max_examples=100)
@given(st.data())
def test_damage_of_the_catalogue_is_named_or_changes_nothing(
    store: Store, data: st.DataObject
) -> None:
    end = store.content.index(b"CREATE TABLE stored_events") + AROUND
    damage = data.draw(damages(store.content[:end]))
    with memory_folder() as folder:
        damaged = store.damaged(folder, damage)
        if not damaged.verify().faults:
            assert rows_of(damaged) == store.rows
            assert states_of(damaged) == store.states


def serve(damaged: Verified) -> None:
    """What `serve` does before and after it has forked."""
    check_nothing_lost(damaged.settings)
    prepare_log(damaged.settings)
    prepare_web(damaged.settings)
    prepare_read_models(damaged.settings)
    with opened(damaged.settings) as registry:
        wiring.catch_up(damaged.settings, registry)
    with opened_signer(damaged.settings) as (signer, _):
        signer.step()


def write(damaged: Verified) -> None:
    """Log in, publish, change: whatever one of them is refused for, the next is tried."""
    with closing(SmallRegistry(damaged.data)) as small:
        small.registry.board.stop()
        root = small.caller(ADMIN)
        attempts: list[Callable[[], object]] = [
            lambda: small.publish_crate(ADMIN, "demo", "2.0.0"),
            lambda: small.publish_npm(ADMIN, "@acme/tool", "2.0.0"),
            lambda: small.registry.credentials.check_password("alice", PASSWORD),
            lambda: crates.set_yanked(small.registry, root, "demo", "1.0.0", yanked=True),
            lambda: npm_edits.set_tag(small.registry, root, "@acme/tool", "next", "1.0.0"),
        ]
        for attempt in attempts:
            with suppress(Unavailable, WrongPassword):
                attempt()


@pytest.mark.parametrize("use", [serve, write])
@settings(with_budget, max_examples=60)
@given(st.data())
def test_who_serves_damage_refuses_it(
    store: Store, use: Callable[[Verified], None], data: st.DataObject
) -> None:
    damage = data.draw(damages(store.content))
    with memory_folder() as folder, suppress(RegistryError), disk_errors_as_refusals():
        use(store.damaged(folder, damage))


COMMANDS = [
    "history cargo:demo",
    "receipt npm:@acme/tool@1.1.0",
    "backup --to {folder}/backup",
    "rebuild packuments",
    "export --as-of 8 --url http://x --to {folder}/export",
    "token create --user alice",
]


@settings(with_budget, max_examples=60)
@given(st.data())
def test_commands_say_it_on_one_line(store: Store, data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(COMMANDS))
    damage = data.draw(damages(store.content))
    with memory_folder() as folder:
        damaged = store.damaged(folder, damage)
        runner = click.testing.CliRunner(env={"PACKLEDGER_PUBLIC_URL": PUBLIC_URL})
        words = command.format(folder=folder).split()
        done = runner.invoke(main, [*words, "--data", str(damaged.data)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        if done.exit_code:
            assert done.stderr.startswith("Error: "), done.stderr
            assert done.stderr.count("\n") == 1, done.stderr


STRANGE_VALUES = [
    ("stored_events", "originator_id", "7"),
    ("stored_events", "originator_id", "'no id'"),
    ("stored_events", "originator_id", "x'ff'"),
    ("stored_events", "originator_version", "'x'"),
    ("stored_events", "topic", "x'ff'"),
    ("stored_events", "topic", "CAST(x'ff' AS TEXT)"),
    ("stored_events", "topic", "7"),
    ("stored_events", "state", "7"),
    ("stored_events", "state", "CAST(state AS TEXT)"),
    ("stored_events", "state", "x'ff'"),
    ("log_checkpoint", "number", "'x'"),
    ("log_checkpoint", "signed", "x'ff'"),
    ("log_checkpoint", "vkey", "CAST(x'ff' AS TEXT)"),
    ("signing_keys", "private_key", "CAST(x'ff' AS TEXT)"),
    ("signing_keys", "private_key", "7"),
]


@pytest.mark.parametrize(("table", "column", "value"), STRANGE_VALUES)
def test_a_value_of_another_type_is_named_and_refused(
    store: Store, table: str, column: str, value: str
) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        first = f"rowid = (SELECT max(rowid) - 2 FROM {table} WHERE rowid > 2)"
        chosen = first if table == "stored_events" else "true"
        damaged.change(f"UPDATE {table} SET {column} = {value} WHERE {chosen}")
        assert damaged.verify().faults != []
        with suppress(RegistryError):
            serve(damaged)
        write(damaged)


RENAMED = {
    "stored_snapshots": "stored_snapshotz",
    "credentials": "crehentials",
    "password_hash": "passwort_hash",
    "position INTEGER PRIMARY": "position INTEGES PRIMARY",
}


@pytest.mark.parametrize("old", RENAMED)
def test_a_table_that_is_not_ours_is_named(store: Store, old: str) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        content = store.content.replace(old.encode(), RENAMED[old].encode())
        assert content != store.content
        (damaged.data / "events.sqlite").write_bytes(content)
        whats = damaged.whats()
        assert any("these of its tables are not as they were made" in one for one in whats), whats
        if " " in old or "_hash" in old:  # nothing is added to it
            with pytest.raises(DamagedLog, match="not as they were made"):
                serve(damaged)


@pytest.mark.parametrize("stream", ["0" * 32, None, 7, b"0"])
@pytest.mark.parametrize("version", [1, None, "one", 1.0])
def test_a_row_of_other_types_is_damage(stream: Any, version: Any) -> None:
    event = CrateVersionYanked(at="", name="demo", version="1.0.0")
    row = (1, stream, version, tag_of(CrateVersionYanked), encode(event))
    if (stream, version) == ("0" * 32, 1) and type(version) is int:
        assert log_module.recorded_of(row).event == event
        return
    with pytest.raises(DamagedLog, match="position 1 has no stream, or no number in it"):
        log_module.recorded_of(row)


def test_what_is_beside_the_log_is_not_told_when_it_cannot_be_read(store: Store) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        secret = "'-----BEGIN PRIVATE KEY' || CAST(x'ff' AS TEXT)"
        damaged.change(f"UPDATE signing_keys SET private_key = {secret}")
        assert not any("BEGIN" in what for what in damaged.whats())
        with opened(damaged.settings) as registry, pytest.raises(DamagedLog) as refused:
            check_key(registry)
        assert "BEGIN" not in refused.value.sentence
        assert "private_key" in refused.value.sentence


def change_private_key(pem: str) -> str:
    """Change a digit of the number itself, beside which its public part is kept as it was."""
    at = pem.index("\n") + 60
    return pem[:at] + ("A" if pem[at] != "A" else "B") + pem[at + 1 :]


def test_a_signing_key_that_is_damaged_is_named_and_replaced(store: Store) -> None:
    ((pem,),) = store.whole.rows("SELECT private_key FROM signing_keys")
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        damaged.change(f"UPDATE signing_keys SET private_key = '{change_private_key(pem)}'")
        (fault,) = damaged.verify().faults
        assert "is damaged beside the event log" in fault.what
        with closing(SmallRegistry(damaged.data)) as small:
            small.registry.board.stop()
            with pytest.raises(BadSigningKey):
                small.publish_npm(ADMIN, "@acme/tool", "2.0.0")
        assert fault.mend == "packledger signing-key rotate"
        runner = click.testing.CliRunner(env={"PACKLEDGER_PUBLIC_URL": PUBLIC_URL})
        words = fault.mend.split()[1:]
        assert runner.invoke(main, [*words, "--data", str(damaged.data)]).exit_code == 0
        assert damaged.verify().faults == []


def test_a_snapshot_that_was_changed_is_not_believed(store: Store) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        change = "replace(CAST(state AS TEXT), '\"root\"', '\"toor\"')"
        ((changed,),) = damaged.rows(
            "SELECT count(*) FROM stored_snapshots WHERE instr(state, CAST('root' AS BLOB))"
        )
        assert changed > 0
        damaged.change(
            "UPDATE stored_snapshots SET state = CAST(substr(state, 1, 32)"
            f" || {change.replace('state', 'substr(state, 33)')} AS BLOB)"
        )
        assert states_of(damaged) == store.states
        damaged.change("UPDATE stored_snapshots SET originator_version = originator_version - 1")
        assert states_of(damaged) == store.states


def test_a_past_that_cannot_be_folded_is_damage(store: Store) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        damaged.change(
            "UPDATE stored_events SET state ="
            ' CAST(replace(CAST(state AS TEXT), \'"manifest":{"name"\', \'"manifest":{"nome"\')'
            " AS BLOB) WHERE topic LIKE 'crate.version_published%'"
        )
        with opened(damaged.settings) as registry:
            with pytest.raises(DamagedLog, match="the events of the crate `demo` do not follow"):
                PastCrate(registry.log, "demo", registry.log.last_position())
            with pytest.raises(DamagedLog, match="the events of the log do not follow"):
                export(registry.log, registry.blobs, 8, folder / "out", "http://x", lambda *_: None)


def test_events_that_nobody_decided_on_are_damage(store: Store) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        damaged.change("DELETE FROM stored_snapshots")
        state = CrateVersionYanked(at="", name="demo", version="9.9.9")
        chosen = "originator_id = (SELECT originator_id FROM stored_events WHERE topic LIKE"
        with closing(sqlite3.connect(damaged.data / "events.sqlite")) as db, db:
            changed = db.execute(
                f"UPDATE stored_events SET topic = ?, state = ? WHERE {chosen} 'crate.%')"
                " AND originator_version = 2",
                (tag_of(CrateVersionYanked), encode(state)),
            )
            assert changed.rowcount == 1
        with (
            opened(damaged.settings) as registry,
            pytest.raises(DamagedLog, match=r"do not follow from each other \(KeyError"),
        ):
            registry.log.load(CRATES, "demo")


def test_the_stored_checkpoint_is_checked_though_another_is_remembered(store: Store) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        ((note,),) = damaged.rows("SELECT signed FROM log_checkpoint")
        at = note.index("\n\n") - 5
        changed = note[:at] + ("A" if note[at] != "A" else "B") + note[at + 1 :]
        damaged.change(f"UPDATE log_checkpoint SET signed = '{changed}'")
        (what,) = damaged.whats()
        assert what.startswith("the checkpoint beside the log that was signed last is not valid")


def test_a_version_that_is_none_has_no_page(store: Store) -> None:
    with memory_folder() as folder:
        damaged = store.whole.copied_to(folder / "copy")
        with closing(SmallRegistry(damaged.data)) as small:
            small.registry.board.stop()
            with closing(sqlite3.connect(small.live_model("pages"))) as db, db:
                db.execute("UPDATE versions SET version = '120.0' WHERE version = '1.0.0'")
                assert db.execute("SELECT changes()").fetchone()[0] > 0
                with pytest.raises(DamagedLog, match="the events of `demo` do not follow"):
                    read_package(db, Recipes(PUBLIC_URL), "cargo", "demo", "", lambda name: True)
