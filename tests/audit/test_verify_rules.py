"""What somebody writes into the event store by hand: found by `verify`, believed by nobody."""

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click.testing
import msgspec
import pytest

from event_stores import AT
from packledger.cli.main import main
from packledger.commands.cargo import crates
from packledger.domain.errors import NotOwner
from packledger.domain.events.accounts import TokenIssued
from packledger.domain.events.cargo import (
    CrateOwnerAdded,
    CrateVersionPublished,
    CrateVersionYanked,
)
from packledger.domain.events.event import Event, encode, tag_of
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.events.registry import RegistryConfigured, SigningKeyAdded
from packledger.domain.streams import ACCOUNTS, CRATES, PACKAGES, REGISTRY, AnyStream
from packledger.eventstore.log import SNAPSHOT_EVERY
from small_registry import ADMIN, PUBLIC_URL, SmallRegistry, memory_folder
from verified_registry import Verified


@pytest.fixture
def verified() -> Iterator[Verified]:
    with memory_folder() as folder:
        yield Verified(folder)


def insert(data: Path, event: Event, kind: AnyStream, name: str) -> None:
    """Append an event as whoever has nothing but the database can."""
    stream = kind.id(name).hex
    with closing(sqlite3.connect(data / "events.sqlite")) as db, db:
        version = "(SELECT count(*) + 1 FROM stored_events WHERE originator_id = ?)"
        db.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state)"
            f" VALUES (?, {version}, ?, ?)",
            (stream, stream, tag_of(type(event)), encode(event)),
        )


INSERTED: dict[str, tuple[Event, AnyStream, str, str]] = {
    "an owner": (
        CrateOwnerAdded(at=AT, by="mallory", name="demo", owner="mallory"),
        *(CRATES, "demo", "`mallory` was neither an owner nor an administrator"),
    ),
    "a yank of nothing": (
        CrateVersionYanked(at=AT, by=ADMIN, name="demo", version="7.0.0"),
        *(CRATES, "demo", "there is no version `7.0.0`"),
    ),
    "a token": (
        TokenIssued(at=AT, by="ghost", account="ghost", token_id="x", sha256="0" * 64),
        *(ACCOUNTS, "ghost", "there is nothing that it could be about"),
    ),
    "an address": (
        RegistryConfigured(at=AT, by="mallory", public_url="https://evil.example.com"),
        *(REGISTRY, "", "`mallory` was no administrator"),
    ),
    "a signing key": (
        SigningKeyAdded(at=AT, by="mallory", keyid="evil", key="its public part"),
        *(REGISTRY, "", "`mallory` was no administrator"),
    ),
    "other bytes for a version": (
        CrateVersionPublished(
            at=AT,
            by=ADMIN,
            name="demo",
            version="7.0.0",
            cksum="0" * 64,
            size_bytes=1,
            manifest=msgspec.Raw(b'{"name":"demo","version":"1.0.0"}'),
        ),
        *(CRATES, "demo", "its manifest is that of `demo@1.0.0`"),
    ),
    "another's package.json": (
        NpmVersionPublished(
            at=AT,
            by=ADMIN,
            name="@acme/tool",
            version="7.0.0",
            tarball="0" * 64,
            size_bytes=1,
            shasum="0" * 40,
            integrity="sha512-x",
            file_count=1,
            unpacked_bytes=1,
            manifest=msgspec.Raw(b'{"name":"other","version":"1.0.0"}'),
            maintainers=(ADMIN,),
        ),
        *(PACKAGES, "@acme/tool", "its manifest is that of `other@1.0.0`"),
    ),
    "a time that is none": (
        CrateVersionYanked(at="0", by=ADMIN, name="demo", version="1.0.0"),
        *(CRATES, "demo", "its time is none that a registry writes"),
    ),
    "a time of another place": (
        CrateVersionYanked(at="2026-11-21T10:00:00+05:00", by=ADMIN, name="demo", version="1.0.0"),
        *(CRATES, "demo", "its time is none that a registry writes"),
    ),
}


@pytest.mark.parametrize("what", INSERTED)
def test_an_event_that_no_command_decides_is_one_fault(verified: Verified, what: str) -> None:
    event, kind, name, why = INSERTED[what]
    insert(verified.data, event, kind, name)
    whats = [one for one in verified.whats() if "could not have been decided" in one]
    ((position,),) = verified.rows("SELECT max(position) FROM stored_events")
    assert whats == [f"the event at position {position} could not have been decided: {why}"]
    assert not [one for one in verified.whats(since=position) if "decided" in one]


def test_administrators_of_an_embedding_program_are_named(verified: Verified) -> None:
    event, kind, name, _ = INSERTED["an owner"]
    insert(verified.data, event, kind, name)
    with closing(SmallRegistry(verified.data)) as small:
        small.catch_up()
    assert [fault.what for fault in verified.verify(admins=["mallory"]).faults] == []
    assert len(verified.whats()) == 1


def test_time_that_goes_back_is_noted(verified: Verified) -> None:
    event = CrateVersionYanked(
        at="1999-01-01T00:00:00.000Z", by=ADMIN, name="demo", version="1.0.0"
    )
    insert(verified.data, event, CRATES, "demo")
    assert any("time goes back at position" in note for note in verified.verify().notes)


@pytest.fixture
def long(verified: Verified) -> Verified:
    """With a stream that has a snapshot."""
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()
        for number in range(SNAPSHOT_EVERY):
            yanked = number % 2 == 0
            crates.set_yanked(small.registry, small.caller(ADMIN), "demo", "1.0.0", yanked)
        small.catch_up()
    return verified


def resealed(verified: Verified, seal: str) -> None:
    """Make somebody else an owner in the snapshot of `demo`, and seal it as anybody can."""
    stream = CRATES.id("demo")
    ((version, tag, state),) = verified.rows(
        "SELECT originator_version, topic, state FROM stored_snapshots"
        f" WHERE originator_id = '{stream.hex}'"
    )
    body = state[32:].replace(b'"root"', b'"mallory"')
    assert body != state[32:]
    text = f"{stream} {version} ".encode() + (b"" if seal == "old" else tag.encode() + b" ") + body
    seals = {
        "old": hashlib.sha256(text).digest(),
        "digest": hashlib.sha256(text).digest(),
        "empty key": hmac.digest(b"", text, "sha256"),
        "other key": hmac.digest(b"x" * 32, text, "sha256"),
        "none": state[:32],
    }
    with closing(sqlite3.connect(verified.data / "events.sqlite")) as db, db:
        db.execute("UPDATE stored_snapshots SET state = ?", (seals[seal] + body,))


@pytest.mark.parametrize("seal", ["old", "digest", "empty key", "other key", "none"])
def test_a_changed_snapshot_lets_nobody_publish_and_is_found(long: Verified, seal: str) -> None:
    assert long.whats() == []
    resealed(long, seal)
    with closing(SmallRegistry(long.data)) as small:
        with pytest.raises(NotOwner):
            small.publish_crate("mallory", "demo", "2.0.0")
        assert list(small.log.load(CRATES, "demo").state.owners) == [ADMIN]
    (fault,) = long.verify().faults
    assert "at version 100 is not what its events give" in fault.what
    mend(long, fault.mend)


def mend(verified: Verified, command: str) -> None:
    words = command.split()[1:]
    runner = click.testing.CliRunner(env={"PACKLEDGER_PUBLIC_URL": PUBLIC_URL})
    assert runner.invoke(main, [*words, "--data", str(verified.data)]).exit_code == 0
    assert verified.whats() == []


@pytest.mark.parametrize(
    "change",
    [
        "originator_version = 99",
        "originator_version = 5000",
        "originator_id = 'x'",
        f"originator_id = '{'0' * 32}'",
        "state = 'text'",
        "state = 7",
    ],
)
def test_a_snapshot_out_of_place_is_found(long: Verified, change: str) -> None:
    long.change(f"UPDATE stored_snapshots SET {change}")
    (fault,) = long.verify().faults
    assert "is not what its events give" in fault.what
    mend(long, fault.mend)


def test_the_key_of_snapshots_is_a_file_of_its_owner_made_once(long: Verified) -> None:
    key = long.data / "snapshot.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    before = key.read_bytes()
    with closing(SmallRegistry(long.data)):
        assert key.read_bytes() == before
    assert [one.name for one in long.data.glob("snapshot.key*")] == ["snapshot.key"]


def test_without_the_key_streams_are_folded_from_their_events(long: Verified) -> None:
    (long.data / "snapshot.key").unlink()
    with closing(SmallRegistry(long.data)) as small:
        small.publish_crate(ADMIN, "demo", "2.0.0")
        assert "2.0.0" in small.log.load(CRATES, "demo").state.versions
    with closing(SmallRegistry(long.data)) as small:
        small.catch_up()
    assert long.whats() == []
