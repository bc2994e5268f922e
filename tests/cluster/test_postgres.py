"""The PostgreSQL store beside what every store does: schema, sessions, notices, order."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from event_stores import AT, add_owner, execute_sql, open_log, open_store
from packledger.domain.errors import Invalid, Unavailable, WrongSchema
from packledger.domain.events.cargo import CrateOwnerAdded, CrateRegistered
from packledger.domain.events.event import encode
from packledger.domain.streams import CRATES
from packledger.eventstore.log import Log
from packledger.eventstore.postgres import schema as postgres_schema
from packledger.eventstore.postgres.schema import migrate
from packledger.eventstore.postgres.store import LOOK_S, PostgresStore
from postgres_server import PostgresServer
from running_registry import free_port
from store_writers import write_streams

pytestmark = pytest.mark.service

WAKES_WITHIN_S = 5.0
LONG_S = 20.0


@pytest.fixture
def place(postgres: PostgresServer) -> str:
    return postgres.new_store()


@pytest.fixture
def log(place: str) -> Iterator[Log]:
    with closing(open_log(place)) as log:
        yield log


def register(log: Log, name: str) -> None:
    event = CrateRegistered(at=AT, by="alice", name=name, owner="alice")
    log.execute(CRATES, name, lambda state, version: [event])


def tables(place: str) -> list[tuple[object, ...]]:
    return execute_sql(
        place,
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, ordinal_position",
    )


def test_migrating_again_changes_nothing(postgres: PostgresServer) -> None:
    place = postgres.new_database()
    version = migrate(place)
    with closing(open_log(place)) as log:
        register(log, "demo")
        made = tables(place)
        assert ("stored_events", "position", "bigint") in made
        assert migrate(place) == version == len(postgres_schema.MIGRATIONS)
        assert tables(place) == made
        assert log.last_position() == 1


@pytest.mark.parametrize("_round", range(3))
def test_many_that_migrate_at_once_make_one_schema(postgres: PostgresServer, _round: int) -> None:
    place = postgres.new_database()
    barrier = threading.Barrier(5)
    versions = []

    def run() -> None:
        barrier.wait()
        versions.append(migrate(place))

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [len(postgres_schema.MIGRATIONS)] * 5
    assert execute_sql(place, "SELECT version FROM schema_version") == [(versions[0],)]
    with closing(open_log(place)) as log:
        register(log, "demo")


def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tables(place)
    more = ("CREATE TABLE checkpoints (kafka_topic text)", "CREATE TABLE credentials ()")
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", (*postgres_schema.MIGRATIONS, more))
    with pytest.raises(Unavailable, match=r"already exists.*again"):
        migrate(place)
    assert tables(place) == made
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", (*postgres_schema.MIGRATIONS[:-1], more[:1]))
    with closing(open_log(place)) as log:
        with pytest.raises(
            WrongSchema, match=r"has version \d, this release needs .*`packledger mi"
        ):
            log.last_position()
        assert migrate(place) == len(postgres_schema.MIGRATIONS)
        assert log.last_position() == 0


def test_a_database_of_the_first_schema_keeps_what_it_has(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = postgres.new_database()
    with monkeypatch.context() as older:
        older.setattr(postgres_schema, "MIGRATIONS", postgres_schema.MIGRATIONS[:1])
        assert migrate(place) == 1
        with closing(open_log(place)) as log:
            register(log, "demo")
            before = log.read(0, 10)
    with closing(open_log(place)) as log:
        with pytest.raises(WrongSchema, match=r"has version 1, .*run `packledger migrate`"):
            log.last_position()
        assert migrate(place) == len(postgres_schema.MIGRATIONS)
        assert log.read(0, 10) == before
    with closing(open_store(place)) as store:
        store.reactions().begin("hook", 1)
        assert store.reactions().states()["hook"].position == 1


def test_a_worker_refuses_a_database_that_was_never_migrated_and_creates_nothing(
    postgres: PostgresServer,
) -> None:
    place = postgres.new_database()
    with closing(open_log(place)) as log, closing(log.watch()) as watch:
        for act in (log.last_position, lambda: register(log, "demo"), lambda: watch.wait(1)):
            with pytest.raises(WrongSchema, match=r"`test_\d+`; run `packledger migrate`"):
                act()
    assert tables(place) == []


def test_a_schema_of_a_newer_release_is_refused_by_all(place: str) -> None:
    execute_sql(place, "UPDATE schema_version SET version = 999")
    with (
        closing(open_log(place)) as log,
        pytest.raises(WrongSchema, match=r"999.*upgrade packledger"),
    ):
        log.last_position()
    with pytest.raises(WrongSchema, match=r"999.*upgrade packledger"):
        migrate(place)


@pytest.mark.parametrize("url", ["postgresql://bad host", "http://example.com", "x", "a=b"])
def test_what_is_no_url_is_refused_with_its_form(url: str) -> None:
    with pytest.raises(Invalid, match="`postgresql://USER:PASSWORD@HOST:PORT/NAME`"):
        migrate(url)
    with (
        closing(Log(PostgresStore(url, 1))) as log,
        pytest.raises(Invalid, match="`postgresql://USER:PASSWORD@HOST:PORT/NAME`"),
    ):
        log.last_position()


def test_a_database_that_cannot_be_reached_is_not_migrated() -> None:
    with pytest.raises(Unavailable, match=r"`registry` cannot be migrated.*run `packledger migra"):
        migrate(f"postgresql://packledger@127.0.0.1:{free_port()}/registry")


def sessions(place: str) -> list[tuple[object, ...]]:
    return execute_sql(
        place,
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )


def test_a_store_connects_only_when_it_must_and_as_often_as_it_may(place: str) -> None:
    with closing(Log(PostgresStore(place, 3))) as log:
        log.watch().close()
        assert sessions(place) == [], "so it may be opened before a fork"
        barrier = threading.Barrier(12)

        def read() -> None:
            barrier.wait()
            for _ in range(20):
                log.last_position()

        threads = [threading.Thread(target=read) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= len(sessions(place)) <= 3
        assert set(sessions(place)) == {("packledger",)}
    with closing(Log(PostgresStore(f"{place}?application_name=mine", 3))) as log:
        log.last_position()
        assert ("mine",) in sessions(place)


def test_a_commit_is_durable_and_sees_the_last_one_whatever_the_server_prefers(place: str) -> None:
    # The server of the tests itself has `synchronous_commit = off`.
    name = place.rpartition("/")[2]
    execute_sql(place, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    with closing(PostgresStore(place, 1)) as store:
        chosen = (
            "SELECT current_setting('synchronous_commit'), current_setting('transaction_isolation')"
        )
        assert store.credentials().one(chosen) == ("on", "read committed")


def test_maintenance_of_the_events_holds_no_append_up(place: str, log: Log) -> None:
    register(log, "demo")
    with psycopg.connect(place) as maintenance:
        # What VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY take.
        maintenance.execute("LOCK TABLE stored_events IN SHARE UPDATE EXCLUSIVE MODE")
        add_owner(log, "demo", "bob")
    assert log.last_position() == 2


def drained(log: Log) -> closing:
    watch = log.watch()
    assert watch.wait(LONG_S) is True
    assert watch.wait(0.0) is False
    return closing(watch)


def test_an_append_wakes_who_watches_at_once(place: str, log: Log) -> None:
    register(log, "demo")
    with drained(log) as watch, closing(open_log(place)) as other:
        took_s = []
        for number in range(20):
            timer = threading.Thread(target=add_owner, args=(other, "demo", f"{number}"))
            timer.start()
            begun_s = time.monotonic()
            assert watch.wait(LONG_S) is True
            took_s.append(time.monotonic() - begun_s)
            timer.join()
        assert sorted(took_s)[10] < LOOK_S / 2, "by its notice and not by looking"


def test_an_append_whose_notice_was_lost_is_noticed_all_the_same(place: str, log: Log) -> None:
    register(log, "demo")
    state = encode(CrateOwnerAdded(at=AT, name="demo", owner="bob"))
    silent = (
        "INSERT INTO stored_events SELECT 2, originator_id, 2, 'crate.owner_added.v1', ?"
        " FROM stored_events"
    )
    with drained(log) as watch:
        # So that it happens while the watch waits.
        later = threading.Timer(0.1, execute_sql, (place, silent, state))
        later.start()
        begun_s = time.monotonic()
        assert watch.wait(LONG_S) is True
        assert time.monotonic() - begun_s < 1.0 + WAKES_WITHIN_S
        later.join()


def test_a_watch_outlives_its_session(place: str, log: Log) -> None:
    register(log, "demo")
    with drained(log) as watch:
        execute_sql(
            place,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        assert watch.wait(0.3) is False
        add_owner(log, "demo", "bob")
        assert watch.wait(LONG_S) is True
        assert watch.wait(0.0) is False


def test_who_follows_several_writers_is_shown_every_position_in_order(place: str, log: Log) -> None:
    register(log, "demo")
    writers, each = 4, 25
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=write_streams, args=(place, writer, each)) for writer in range(writers)
    ]
    for process in processes:
        process.start()
    seen = 0
    while any(process.is_alive() for process in processes):
        page = log.read(seen, 100)
        assert [one.position for one in page] == list(range(seen + 1, seen + 1 + len(page)))
        seen += len(page)
    assert [process.exitcode for process in processes] == [0] * writers
    assert log.last_position() == 1 + 2 * writers * each
    assert len(log.load(CRATES, "demo").state.owners) == 1 + writers * each
