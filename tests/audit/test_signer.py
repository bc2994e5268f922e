"""The signer: what it signs always continues what it signed, and what it refuses it explains."""

import itertools
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packledger.audit.translog.checkpoint import Checkpoint, open_checkpoint, origin_of
from packledger.audit.translog.cosigners import Cosigners
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import BadNote, parse_verifier
from packledger.audit.translog.proofs import Tree, check_consistency
from packledger.audit.translog.signer import OwnTiles, Signer
from packledger.domain.errors import Conflict, NotFound, Unavailable
from packledger.eventstore.checkpoints import CheckpointRow, Checkpoints
from packledger.projections.log_tiles.fold import LOG_TILES, LogTiles, tile_of
from packledger.projections.log_tiles.merkle import EMPTY_ROOT
from packledger.projections.read_model import ReadModel
from small_registry import ADMIN, SmallRegistry, memory_folder

ORIGIN = origin_of("https://registry.example.com/path")


class SignedRegistry:
    """A small registry whose log is signed when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.small = SmallRegistry(folder)
        self.keys = LogKeys(folder)
        self.keys.create(ORIGIN)
        self.tiles: Callable[[], sqlite3.Connection] = self.small.reader(LOG_TILES).db
        self.signer = self.new_signer()

    @property
    def checkpoints(self) -> Checkpoints:
        return self.small.registry.checkpoints

    def new_signer(self, keys: LogKeys | None = None) -> Signer:
        """Another process that signs, or the same one started again."""
        last_position = self.small.log.last_position
        return Signer(
            keys or self.keys, self.checkpoints, OwnTiles(self.tiles), last_position, Cosigners()
        )

    def publish(self, *names: str) -> None:
        for name in names:
            self.small.publish_crate(ADMIN, name, "1.0.0")

    def step(self) -> Checkpoint:
        """Bring the tiles up to the log, sign, and return what is published."""
        self.small.catch_up()
        self.signer.step()
        return self.published()

    def published(self) -> Checkpoint:
        row = self.checkpoints.read()
        return open_checkpoint(row.published.encode(), parse_verifier(row.vkey))[0]

    @property
    def refusal(self) -> str:
        return self.checkpoints.read().refusal

    @property
    def tree(self) -> Tree:
        return Tree(lambda *tile: tile_of(self.tiles(), *tile))

    def check_one_history(self, seen: list[Checkpoint]) -> None:
        """Check that each of these checkpoints continues the one before."""
        for old, new in itertools.pairwise(seen):
            proof = self.tree.consistency(old.size, new.size)
            check_consistency(old.size, old.root, new.size, new.root, proof)


@pytest.fixture
def signed() -> Iterator[SignedRegistry]:
    with memory_folder() as folder:
        registry = SignedRegistry(folder)
        with closing(registry.small):
            yield registry


def test_the_key_is_made_once_and_is_its_owners_alone(signed: SignedRegistry) -> None:
    path = signed.folder / "log.key"
    key = path.read_text()
    signed.keys.create("another.example.com/log")
    assert path.read_text() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.verifier.name for one in signed.keys.all()] == [ORIGIN]


def test_each_checkpoint_continues_the_one_before(signed: SignedRegistry) -> None:
    seen = [signed.step()]
    assert seen[0].origin == ORIGIN
    for name in ("a", "b", "c"):
        signed.publish(name)
        seen.append(signed.step())
        assert seen[-1].size == signed.small.log.last_position() > seen[-2].size
    signed.check_one_history(seen)


def test_nothing_is_signed_twice(signed: SignedRegistry) -> None:
    signed.step()
    row = signed.checkpoints.read()
    assert not signed.signer.step()
    assert not signed.new_signer().step()
    assert signed.checkpoints.read() == row


def test_an_empty_log_has_a_checkpoint(signed: SignedRegistry) -> None:
    path = signed.folder / "tiles"
    with closing(ReadModel(path, LogTiles())), closing(sqlite3.connect(path)) as empty:
        last_position = signed.small.log.last_position
        args = (
            signed.keys,
            signed.checkpoints,
            OwnTiles(lambda: empty),
            last_position,
            Cosigners(),
        )
        assert Signer(*args).step()
    assert signed.published() == Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert signed.step().size == signed.small.log.last_position()


class Failing(Checkpoints):
    """A table that cannot be written, or that is only thought not to have been."""

    def __init__(self, table: Checkpoints, persists: bool) -> None:
        self._inner, self._persists = table, persists

    def read(self) -> CheckpointRow:
        return self._inner.read()

    def replace(self, row: CheckpointRow) -> bool:
        if self._persists:
            self._inner.replace(row)
        raise Unavailable("the database is away")


@pytest.mark.parametrize("persists", [False, True])
def test_a_failed_write_is_done_again_and_contradicts_nothing(
    signed: SignedRegistry, persists: bool
) -> None:
    first = signed.step()
    signed.publish("a")
    signed.small.catch_up()
    failing = Failing(signed.checkpoints, persists)
    signer = Signer(
        signed.keys, failing, OwnTiles(signed.tiles), signed.small.log.last_position, Cosigners()
    )
    with pytest.raises(Unavailable):
        signer.step()
    remembered = signed.keys.remembered()
    assert remembered
    assert (signed.published() == first) is not persists
    signed.publish("b")
    old = open_checkpoint(remembered.encode(), signed.keys.all()[0].verifier)[0]
    signed.check_one_history([first, old, signed.step()])


def rewrite(signed: SignedRegistry, statement: str) -> None:
    """Change the event store behind everybody's back, and have the tiles built from it."""
    with closing(sqlite3.connect(signed.folder / "events.sqlite")) as db, db:
        db.execute(statement)
    outcome = signed.small.rebuild(LOG_TILES)
    assert outcome.swapped


def test_a_store_that_lost_events_is_refused_until_they_are_back(signed: SignedRegistry) -> None:
    signed.publish("a", "b")
    before = signed.step()
    row = signed.checkpoints.read()
    with closing(sqlite3.connect(signed.folder / "events.sqlite")) as db:
        (lost,) = db.execute(
            "SELECT originator_id || ' ' || originator_version || ' ' || topic || ' ' || hex(state)"
            " FROM stored_events ORDER BY position DESC LIMIT 1"
        ).fetchone()
    rewrite(
        signed,
        "DELETE FROM stored_events WHERE position = (SELECT max(position) FROM stored_events)",
    )
    assert signed.new_signer().step()
    assert f"the log has {before.size - 1} events, but {before.size} were signed" in signed.refusal
    assert "packledger log restart" in signed.refusal
    assert signed.published() == before
    assert not signed.signer.step(), "it says so once"
    stream, version, tag, state = lost.split(" ")
    with closing(sqlite3.connect(signed.folder / "events.sqlite")) as db, db:
        db.execute(
            "INSERT INTO stored_events VALUES (?, ?, ?, ?, ?)",
            (before.size, stream, int(version), tag, bytes.fromhex(state)),
        )
    signed.small.rebuild(LOG_TILES)
    assert signed.step() == before
    assert signed.refusal == ""
    assert signed.checkpoints.read().signed == row.signed


def test_what_lies_beside_the_log_is_enough_to_notice_a_loss(signed: SignedRegistry) -> None:
    signed.publish("a")
    before = signed.step()
    (signed.folder / "log.signed").unlink()
    rewrite(signed, f"DELETE FROM stored_events WHERE position = {before.size}")
    assert signed.signer.step()
    assert f"but {before.size} were signed" in signed.refusal


def test_a_restored_backup_of_the_store_is_noticed_by_what_lies_beside_the_key(
    signed: SignedRegistry,
) -> None:
    backup = signed.checkpoints.read()
    first = signed.step()
    backup = signed.checkpoints.read()
    signed.publish("a")
    after = signed.step()
    # The backup has the older checkpoint, too: nothing in the store contradicts it.
    number = signed.checkpoints.read().number + 1
    assert signed.checkpoints.replace(msgspec.structs.replace(backup, number=number))
    rewrite(signed, f"DELETE FROM stored_events WHERE position > {first.size}")
    assert signed.signer.step()
    assert f"the log has {first.size} events, but {after.size} were signed" in signed.refusal


def test_a_changed_event_is_refused(signed: SignedRegistry) -> None:
    signed.publish("a", "b")
    before = signed.step()
    rewrite(
        signed,
        'UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), \'"name":"a"\','
        ' \'"name":"z"\') AS BLOB)',
    )
    signed.publish("c")
    assert signed.step() == before
    assert f"the first {before.size} events are not those that were signed" in signed.refusal


def test_publishing_goes_on_while_nothing_is_signed(signed: SignedRegistry) -> None:
    before = signed.step()
    rewrite(
        signed,
        "UPDATE stored_events SET state ="
        " CAST(replace(CAST(state AS TEXT), 'example', 'another') AS BLOB) WHERE position = 1",
    )
    signed.publish("a")
    assert signed.step() == before
    assert signed.small.index_files.load("a") is not None


def test_tiles_that_are_behind_are_waited_for(signed: SignedRegistry) -> None:
    signed.publish("a")
    before = signed.step()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as behind:
        behind.execute("CREATE TABLE meta (key TEXT, value INTEGER)")
        behind.execute("INSERT INTO meta VALUES ('position', 1)")
        last_position = signed.small.log.last_position
        args = (
            signed.keys,
            signed.checkpoints,
            OwnTiles(lambda: behind),
            last_position,
            Cosigners(),
        )
        assert not Signer(*args).step()
    assert (signed.published(), signed.refusal) == (before, "")


def test_a_signer_without_the_key_refuses_and_the_one_that_has_it_goes_on(
    signed: SignedRegistry,
) -> None:
    before = signed.step()
    with memory_folder() as folder:
        stranger = LogKeys(folder)
        stranger.create(ORIGIN)
        assert signed.new_signer(stranger).step()
        assert f"signed with the key `{signed.keys.all()[0].verifier}`" in signed.refusal
    signed.publish("a")
    assert signed.step().size > before.size
    assert signed.refusal == ""


def test_two_signers_with_one_key_never_contradict_each_other(signed: SignedRegistry) -> None:
    signers = [signed.new_signer() for _ in range(2)]
    seen = [signed.step()]
    for turn, name in enumerate("abcdef"):
        signed.publish(name)
        signed.small.catch_up()
        signers[turn % 2].step()
        seen.append(signed.published())
    signed.check_one_history(seen)


def test_a_new_key_signs_beside_the_old_one_until_that_is_retired(signed: SignedRegistry) -> None:
    signed.step()
    (old,) = signed.keys.all()
    new = signed.keys.rotate()
    assert [key.verifier for key in signed.keys.all()] == [new.verifier, old.verifier]
    assert signed.signer.step(), "the same tree is signed with the new key at once"
    row = signed.checkpoints.read()
    assert row.vkey == str(new.verifier)
    for key in (old, new):
        assert open_checkpoint(row.published.encode(), key.verifier)
    with pytest.raises(Conflict, match="newest"):
        signed.keys.retire(new.verifier.key_id.hex())
    with pytest.raises(NotFound, match="no key `00000000`"):
        signed.keys.retire("00000000")
    signed.keys.retire(old.verifier.key_id.hex())
    signed.publish("a")
    signed.step()
    with pytest.raises(BadNote, match="not signed with the key"):
        open_checkpoint(signed.checkpoints.read().published.encode(), old.verifier)


def test_after_a_restart_of_the_history_a_new_key_signs_what_there_is(
    signed: SignedRegistry,
) -> None:
    signed.publish("a")
    before = signed.step()
    rewrite(signed, f"DELETE FROM stored_events WHERE position = {before.size}")
    signed.signer.step()
    old = signed.keys.all()[0].verifier
    row = signed.checkpoints.read()
    assert row.refusal
    assert signed.checkpoints.replace(CheckpointRow(row.number + 1))
    signed.keys.restart()
    assert signed.step().size == before.size - 1
    assert parse_verifier(signed.checkpoints.read().vkey) != old


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(["publish", "step", "crash", "rebuild", "rotate"]), max_size=8))
def test_whatever_happens_all_that_was_ever_signed_is_one_history(
    signed: SignedRegistry, what: list[str]
) -> None:
    seen = []
    for number, one in enumerate(what):
        disturb(signed, one, number)
        seen.append(signed.step())
        assert signed.refusal == ""
    signed.check_one_history(seen)


def disturb(signed: SignedRegistry, what: str, number: int) -> None:
    match what:
        case "publish":
            signed.publish(f"p{number}-{signed.small.log.last_position()}")
        case "crash":
            failing = Failing(signed.checkpoints, persists=number % 2 == 0)
            args = (OwnTiles(signed.tiles), signed.small.log.last_position, Cosigners())
            with suppress(Unavailable):
                Signer(signed.keys, failing, *args).step()
        case "rebuild":
            signed.small.rebuild(LOG_TILES)
        case "rotate":
            signed.keys.rotate()
            for key in signed.keys.all()[2:]:
                signed.keys.retire(key.verifier.key_id.hex())
