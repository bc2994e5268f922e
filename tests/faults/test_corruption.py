"""Bytes flipped, files gone, tables dropped: verify names it, and what it says mends it."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click.testing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packledger.audit.checks.verify import Report
from packledger.cli.main import main
from packledger.cli.verify import verify_all
from packledger.commands import accounts
from packledger.projections.catalogue import on_every_node
from packledger.server.processes.signing import opened_signer
from packledger.server.settings.settings import Settings
from small_registry import PUBLIC_URL, SmallRegistry, State, documents_in, memory_folder


class Stopped:
    """A stopped registry with a bit of everything, its log signed; `backup` is a copy of it."""

    def __init__(self, folder: Path) -> None:
        self.data, self.backup = folder / "data", folder / "backup"

    def fill(self) -> None:
        with closing(SmallRegistry(self.data)) as small:
            small.registry.board.stop()
            accounts.register(small.registry, small.actor(""), "alice", "password of alice", "user")
            for version in ("1.0.0", "1.1.0", "2.0.0-beta.1"):
                for name in ("demo", "other"):
                    small.publish_crate("alice", name, version, text=version)
                    small.publish_npm("alice", f"@acme/{name}", version, text=version)
            small.catch_up()
            with opened_signer(small.settings) as (signer, _):
                signer.step()
        shutil.copytree(self.data, self.backup)

    def copied_to(self, folder: Path) -> "Stopped":
        folder.mkdir()
        copy = Stopped(folder)
        shutil.copytree(self.backup, copy.data)
        shutil.copytree(self.backup, copy.backup)
        return copy

    def cli(self, *arguments: str) -> click.testing.Result:
        runner = click.testing.CliRunner(env={"PACKLEDGER_PUBLIC_URL": PUBLIC_URL})
        return runner.invoke(main, [*arguments, "--data", str(self.data)])

    def verify(self) -> Report:
        return verify_all(Settings(data=str(self.data), public_url=PUBLIC_URL), 0, blobs=True)

    def mend(self, report: Report) -> None:
        """Run what the report says, as an operator would."""
        for command in dict.fromkeys(fault.mend for fault in report.faults):
            words = command.replace("DIR|URL", str(self.backup)).split()
            assert words[0] == "packledger", command
            done = self.cli(*words[1:])
            assert done.exit_code == 0, done.output

    def documents(self) -> State:
        return {name: documents_in(self.model(name), name) for name in on_every_node()}

    def model(self, name: str) -> Path:
        folder = self.data / "read" / name
        return folder / f"{int((folder / 'current').read_text()):06d}" / "model.sqlite"

    def blobs(self) -> dict[str, bytes]:
        root = self.data / "blobs" / "sha256"
        return {str(path): path.read_bytes() for path in sorted(root.glob("*/*"))}


@pytest.fixture(scope="module")
def original() -> Iterator[Stopped]:
    with memory_folder() as folder:
        stopped = Stopped(folder)
        stopped.fill()
        yield stopped


@pytest.fixture
def stopped(original: Stopped) -> Iterator[Stopped]:
    with memory_folder() as folder:
        yield original.copied_to(folder / "copy")


def flip(path: Path, at: int, mask: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= mask
    path.write_bytes(content)


def check_named_and_mended(original: Stopped, stopped: Stopped, names: set[str]) -> None:
    """The faults are in these read models, or blobs, and nothing is wrong after the commands."""
    report = stopped.verify()
    mends = {fault.mend.split()[-1] for fault in report.faults}
    assert mends == names, report.faults
    stopped.mend(report)
    assert stopped.verify().faults == []
    assert stopped.documents() == original.documents()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_flipped_byte_of_a_read_model_is_named_or_changes_nothing(
    original: Stopped, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(on_every_node()), label="read model")
    with memory_folder() as folder:
        stopped = original.copied_to(folder / "copy")
        model = stopped.model(name)
        size = model.stat().st_size
        at = data.draw(st.integers(0, size - 1), label="at")
        flip(model, at, data.draw(st.integers(1, 255), label="mask"))
        report = stopped.verify()
        if report.faults:
            assert {fault.mend for fault in report.faults} == {f"packledger rebuild {name}"}
            stopped.mend(report)
            assert stopped.verify().faults == []
        assert stopped.documents() == original.documents()


@pytest.mark.parametrize("name", on_every_node())
def test_a_dropped_table_is_named_and_mended(
    original: Stopped, stopped: Stopped, name: str
) -> None:
    with closing(sqlite3.connect(stopped.model(name))) as db, db:
        found = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%meta%'"
        table = next(table for (table,) in db.execute(found) if not table.startswith("sqlite_"))
        db.execute(f"DROP TABLE {table}")
    check_named_and_mended(original, stopped, {name})


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM words_data WHERE id > 10",
        "DELETE FROM names_docsize WHERE id = (SELECT min(id) FROM names_docsize)",
        "UPDATE words_data SET block = x'00' WHERE id = 1",
        "UPDATE words_content SET c0 = 'domo' WHERE c0 = 'demo'",
        "UPDATE downloads SET popularity = 7",
        "DELETE FROM newest",
    ],
)
def test_a_search_index_that_does_not_fit_its_texts_is_named_and_mended(
    original: Stopped, stopped: Stopped, statement: str
) -> None:
    with closing(sqlite3.connect(stopped.model("search"))) as db, db:
        if "downloads" in statement:
            db.execute("INSERT INTO downloads VALUES ('cargo:demo', 1, 1.0)")
        assert db.execute(statement).rowcount > 0
    check_named_and_mended(original, stopped, {"search"})


INDEXES = [
    ("sparse-index", "versions_by_name", "versions", "version"),
    ("packuments", "versions_by_name", "versions", "version"),
    ("search", "found_by_name", "found", "name"),
    ("pages", "versions_by_key", "versions", "key"),
]


@pytest.mark.parametrize(("name", "index", "table", "column"), INDEXES)
def test_an_index_that_does_not_fit_its_table_is_named_and_mended(
    original: Stopped, stopped: Stopped, name: str, index: str, table: str, column: str
) -> None:
    model = stopped.model(name)
    with closing(sqlite3.connect(model)) as db, db:
        first = db.execute(f"SELECT {column}, rowid FROM {table} ORDER BY rowid LIMIT 1")
        value, rowid = first.fetchone()
        change = f"UPDATE {table} SET {column} = ? WHERE rowid = {rowid}"
        db.execute(change, ("something else",))
        entry = db.execute("SELECT * FROM sqlite_master WHERE name = ?", (index,)).fetchone()
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_master WHERE name = ?", (index,))
    with closing(sqlite3.connect(model)) as db, db:
        db.execute(change, (value,))  # without the index
        db.execute("PRAGMA writable_schema = ON")
        db.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", entry)
    check_named_and_mended(original, stopped, {name})


DELETIONS: dict[str, Callable[[Path], object]] = {
    "the file": lambda model: model.unlink(),
    "the generation": lambda model: shutil.rmtree(model.parent),
    "everything": lambda model: shutil.rmtree(model.parent.parent),
    "which one is live": lambda model: (model.parent.parent / "current").unlink(),
    "its number": lambda model: (model.parent.parent / "current").write_bytes(b"\xff"),
    "all bytes": lambda model: model.write_bytes(b""),
    "the last page": lambda model: model.write_bytes(model.read_bytes()[:-4096]),
}


@pytest.mark.parametrize("what", DELETIONS)
def test_files_that_are_gone_are_named_and_mended(
    original: Stopped, stopped: Stopped, what: str
) -> None:
    for name in ("packuments", "log-tiles"):
        DELETIONS[what](stopped.model(name))
    check_named_and_mended(original, stopped, {"packuments", "log-tiles"})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_blobs_are_named_and_fetched_again(original: Stopped, data: st.DataObject) -> None:
    whole = original.blobs()
    chosen = data.draw(st.sets(st.sampled_from(sorted(whole)), min_size=1, max_size=4))
    with memory_folder() as folder:
        stopped = original.copied_to(folder / "copy")
        ours = sorted((stopped.data / "blobs" / "sha256").glob("*/*"))
        digests = set()
        for path in ours:
            if str(path).replace(str(stopped.data), str(original.data)) not in chosen:
                continue
            digests.add(path.parent.name + path.name)
            at = data.draw(st.integers(0, path.stat().st_size - 1), label="at")
            match data.draw(st.sampled_from(["flip", "cut", "delete"]), label="how"):
                case "flip":
                    flip(path, at, data.draw(st.integers(1, 255), label="mask"))
                case "cut":
                    path.write_bytes(path.read_bytes()[:at])
                case _:
                    path.unlink()
        kept = {path: path.stat().st_mtime_ns for path in ours if path.exists()}
        report = stopped.verify()
        assert {fault.what.split("`")[1] for fault in report.faults} == digests
        assert all("@" in fault.affects for fault in report.faults)
        stopped.mend(report)
        assert stopped.verify().faults == []
        assert list(stopped.blobs().values()) == list(whole.values())
        for path, mtime_ns in kept.items():
            good = path.parent.name + path.name not in digests
            assert (path.stat().st_mtime_ns == mtime_ns) is good, "good ones are left alone"


def test_what_a_backup_cannot_give_is_said(stopped: Stopped) -> None:
    gone, damaged, whole, *_ = sorted((stopped.data / "blobs" / "sha256").glob("*/*"))
    for path in (gone, damaged, whole):
        path.unlink()
    there = Path(str(gone).replace(str(stopped.data), str(stopped.backup)))
    there.unlink()
    flip(Path(str(damaged).replace(str(stopped.data), str(stopped.backup))), 0, 1)
    done = stopped.cli("repair", "blobs", "--from", str(stopped.backup))
    assert done.exit_code == 1
    assert "No such file" in done.output
    assert "what the source has is damaged, too" in done.output
    assert "mended 1, not mended 2" in done.output
    assert len(stopped.verify().faults) == 2
    done = stopped.cli("repair", "blobs", "--from", str(stopped.data / "read"))
    assert done.exit_code == 1
    assert "there are no blobs in" in done.output
