"""PostgreSQL fails at every step: nothing acknowledged is lost, and nothing happens twice."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from cut_wire import CutWire
from event_stores import AT, SNAPSHOT_KEY, add_owner, execute_sql, open_log
from one_fault import AFTER, BEFORE, WHENS
from packledger.domain.errors import Unavailable
from packledger.domain.events.cargo import CrateOwnerAdded, CrateRegistered
from packledger.domain.events.event import Event
from packledger.domain.streams import CRATES
from packledger.eventstore import log as log_module
from packledger.eventstore.credentials import Credentials
from packledger.eventstore.log import Log
from packledger.eventstore.postgres import connections as postgres_connections
from packledger.eventstore.postgres.store import PostgresStore
from postgres_server import PostgresServer
from store_writers import write_until_told

pytestmark = pytest.mark.service

OWNER = CrateOwnerAdded(at=AT, by="alice", name="demo", owner="bob")
EACH_WHEN = pytest.mark.parametrize("when", WHENS)


@pytest.fixture
def place(postgres: PostgresServer) -> Iterator[str]:
    """A store with the crate `demo` of alice."""
    registered = CrateRegistered(at=AT, by="alice", name="demo", owner="alice")
    with postgres.store() as place:
        with closing(open_log(place)) as log:
            log.execute(CRATES, "demo", lambda state, version: [registered])
        yield place


@pytest.fixture
def wire(postgres: PostgresServer) -> Iterator[CutWire]:
    wire = CutWire(postgres.port)
    yield wire
    wire.close()


@pytest.fixture
def store(postgres: PostgresServer, wire: CutWire, place: str) -> Iterator[PostgresStore]:
    """The same store through a wire that can be cut."""
    store = PostgresStore(place.replace(str(postgres.port), str(wire.port)), 2)
    yield store
    store.close()


@pytest.fixture
def log(store: PostgresStore) -> Iterator[Log]:
    with closing(Log(store, snapshot_key=SNAPSHOT_KEY)) as log:
        yield log


def owners(place: str) -> list[str]:
    """Return the owners in the order of the log, which must be whole."""
    with closing(open_log(place)) as log:
        events = log.read(0, 1_000_000)
        assert [one.position for one in events] == list(range(1, len(events) + 1))
        assert [one.version for one in events] == list(range(1, len(events) + 1))
        return [getattr(one.event, "owner", "") for one in events]


APPEND = "append_events"
COMMAND_STEPS = [
    "application_name",
    "set_config",
    "to_regclass",
    "FROM stored_snapshots",
    "FROM stored_events",
    APPEND,
    "INSERT INTO stored_snapshots",
]


@EACH_WHEN
@pytest.mark.parametrize("step", COMMAND_STEPS)
def test_a_command_survives_the_loss_of_its_connection_at_any_step_and_happens_once(
    place: str,
    wire: CutWire,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
) -> None:
    monkeypatch.setattr(log_module, "SNAPSHOT_EVERY", 1)
    wire.arm(step, when)
    recorded = log.execute(CRATES, "demo", lambda state, version: [OWNER])
    assert wire.cuts == 1
    assert [(one.position, one.version) for one in recorded] == [(2, 2)]
    assert owners(place) == ["alice", "bob"]
    add_owner(log, "demo", "carol")
    assert owners(place) == ["alice", "bob", "carol"]


@EACH_WHEN
@pytest.mark.parametrize("step", ["application_name", "max(position)", "FROM stored_events"])
def test_a_read_survives_the_loss_of_its_connection_at_any_step(
    wire: CutWire, log: Log, step: str, when: str
) -> None:
    wire.arm(step, when)
    assert log.last_position() == 1
    assert [one.position for one in log.read(0, 10)] == [1]
    assert wire.cuts == 1


@EACH_WHEN
@pytest.mark.parametrize("step", ["INSERT INTO credentials", "INSERT INTO setup", "UPDATE setup"])
def test_credentials_survive_the_loss_of_their_connection_at_any_step(
    wire: CutWire, store: PostgresStore, step: str, when: str
) -> None:
    credentials = Credentials(store.credentials())
    wire.arm(step, when)
    assert credentials.add("alice", "correct horse")
    assert not credentials.add("alice", "another one")
    code = credentials.new_setup_code()
    assert code is not None
    assert credentials.claim_setup(code, "alice")
    credentials.end_setup()
    credentials.check_password("alice", "correct horse")
    assert wire.cuts == 1


def test_an_append_that_lost_its_connection_and_then_its_place_decides_again(
    place: str, wire: CutWire, log: Log
) -> None:
    def rival() -> None:
        with closing(open_log(place)) as theirs:
            add_owner(theirs, "demo", "rival")

    seen = []

    def decide(state: Any, version: int) -> list[Event]:
        seen.append(version)
        return [OWNER]

    wire.arm(APPEND, BEFORE, rival)
    recorded = log.execute(CRATES, "demo", decide)
    assert seen == [1, 2]
    assert [(one.position, one.version) for one in recorded] == [(3, 3)]
    assert owners(place) == ["alice", "rival", "bob"]


def test_an_append_that_goes_on_without_its_client_is_found_by_the_client(
    place: str, wire: CutWire, log: Log
) -> None:
    recorded: list[log_module.Recorded] = []

    def add() -> None:
        recorded.extend(log.execute(CRATES, "demo", lambda state, version: [OWNER]))

    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(place, autocommit=True) as watcher, psycopg.connect(place) as blocker:
        blocker.execute("LOCK TABLE append_order IN EXCLUSIVE MODE")
        thread = threading.Thread(target=add)
        thread.start()
        # The first waits in the server when its wire is cut; then the second waits behind it.
        for connections, cut in ((1, True), (2, False)):
            while watcher.execute(waiting).fetchone() != (connections,):
                thread.join(0.01)
            if cut:
                wire.cut()
        blocker.rollback()
        thread.join()
    assert [(one.position, one.version) for one in recorded] == [(2, 2)]
    assert owners(place) == ["alice", "bob"]


@pytest.mark.parametrize(
    ("step", "when", "sentence", "there"),
    [
        ("FROM stored_events", BEFORE, "cannot be reached|connection to it was lost", False),
        (APPEND, BEFORE, "which may have happened or not; look", False),
        (APPEND, AFTER, "which may have happened or not; look", True),
    ],
)
def test_who_cannot_know_the_outcome_is_told_so(
    place: str,
    wire: CutWire,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
    sentence: str,
    there: bool,
) -> None:
    monkeypatch.setattr(postgres_connections, "PATIENCE_S", 0.3)
    wire.arm(step, when, gone=True)
    with pytest.raises(Unavailable, match=sentence):
        log.execute(CRATES, "demo", lambda state, version: [OWNER])
    assert owners(place) == (["alice", "bob"] if there else ["alice"])
    wire.gone = False
    assert log.load(CRATES, "demo").version == (2 if there else 1)
    add_owner(log, "demo", "carol")
    assert owners(place)[-1] == "carol"


@EACH_WHEN
def test_who_can_connect_again_but_not_write_cannot_know_the_outcome_either(
    postgres: PostgresServer, place: str, wire: CutWire, log: Log, when: str
) -> None:
    read_only = f"ALTER DATABASE {place.rpartition('/')[2]} {{}} default_transaction_read_only"
    try:
        wire.arm(APPEND, when, lambda: postgres.execute(read_only.format("SET") + " = on"))
        with pytest.raises(Unavailable, match="which may have happened or not; look"):
            log.execute(CRATES, "demo", lambda state, version: [OWNER])
        assert owners(place) == (["alice", "bob"] if when == AFTER else ["alice"])
        with pytest.raises(Unavailable, match="now: it is read-only; try"):
            add_owner(log, "demo", "carol")
    finally:
        postgres.execute(read_only.format("RESET"))


def test_a_database_that_is_away_from_the_beginning_is_a_refusal_for_now(
    wire: CutWire,
    store: PostgresStore,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(postgres_connections, "PATIENCE_S", 0.3)
    credentials = Credentials(store.credentials())
    wire.gone = True
    for act in (
        lambda: log.execute(CRATES, "demo", lambda state, version: [OWNER]),
        lambda: log.read(0, 10),
        lambda: log.stream(CRATES, "demo"),
        log.last_position,
        lambda: credentials.check_password("alice", "x"),
        lambda: credentials.add("alice", "x"),
    ):
        with pytest.raises(Unavailable, match="it cannot be reached"):
            act()
    caplog.clear()
    with closing(log.watch()) as watch:
        assert [watch.wait(0.05) for _ in range(3)] == [False] * 3
        assert caplog.text.count("no connection to the database") == 1
        wire.gone = False
        assert watch.wait(10) is True
    assert log.last_position() == 1


@pytest.mark.parametrize(
    ("setting", "locked", "sentence"),
    [
        ("default_transaction_read_only = on", False, "now: it is read-only; try"),
        ("lock_timeout = 1", True, "now: it is locked; try"),
        ("statement_timeout = 1", True, "now: it takes too long; try"),
    ],
)
def test_a_refusal_of_postgresql_is_a_refusal_for_now(
    place: str, log: Log, setting: str, locked: bool, sentence: str
) -> None:
    log.load(CRATES, "demo")
    connection = log._store._connections._idle[0]
    connection.execute(f"SET {setting}".encode())
    with psycopg.connect(place) as blocker:
        if locked:
            blocker.execute("LOCK TABLE append_order IN EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match=sentence):
            log.execute(CRATES, "demo", lambda state, version: [OWNER])
    connection.execute(b"RESET ALL")
    add_owner(log, "demo", "bob")
    assert owners(place) == ["alice", "bob"]


def test_who_finds_every_connection_busy_waits_and_is_refused_in_the_end(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connections, "PATIENCE_S", 0.2)
    with closing(Log(PostgresStore(place, 1))) as log:
        with (
            log._store._connections._connection(float("inf")),
            pytest.raises(Unavailable, match="in use; `database_connections` allows more"),
        ):
            log.last_position()
        assert log.last_position() == 1


WRITERS = 3


def harassed(place: str, harass: Callable[[], None]) -> None:
    """Let writers write and a reader follow, while a test harasses their database."""
    spawn = multiprocessing.get_context("spawn")
    ends = [spawn.Pipe() for _ in range(WRITERS)]
    writers = [
        spawn.Process(target=write_until_told, args=(place, writer, ends[writer][1]))
        for writer in range(WRITERS)
    ]
    for one in writers:
        one.start()
    for mine, _ in ends:
        assert mine.recv() == "going"
    stopping = threading.Event()
    seen: list[int] = []
    reader = threading.Thread(target=follow, args=(place, stopping, seen))
    reader.start()
    harass()
    acknowledged: list[str] = []
    unknown: list[str] = []
    for mine, _ in ends:
        mine.send("stop")
        for names, more in zip((acknowledged, unknown), mine.recv(), strict=True):
            names += more
    for one in writers:
        one.join()
        assert one.exitcode == 0
    stopping.set()
    reader.join()
    stored = owners(place)
    assert len(acknowledged) >= 5 * WRITERS
    assert len(set(stored)) == len(stored), "nobody twice"
    assert {"alice", *acknowledged} <= set(stored) <= {"alice", *acknowledged, *unknown}
    assert seen == list(range(1, len(stored) + 1)), "nobody was shown a later event first"


def follow(place: str, stopping: threading.Event, seen: list[int]) -> None:
    with closing(open_log(place)) as log:
        end = 0
        while not stopping.is_set() or len(seen) < end:
            try:
                seen.extend(one.position for one in log.read(len(seen), 100))
                end = log.last_position()
            except Unavailable:
                continue


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_writers_outlive_a_restart_of_the_database(
    postgres: PostgresServer, place: str, how: str
) -> None:
    def restart() -> None:
        getattr(postgres, how)()
        postgres.start()

    harassed(place, restart)


def test_writers_outlive_the_loss_of_their_sessions(postgres: PostgresServer, place: str) -> None:
    name = place.rpartition("/")[2]
    terminate = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' ORDER BY random() LIMIT 2"
    )

    def harass() -> None:
        begin = len(owners(place))
        for round in range(1, 16):
            while len(owners(place)) < begin + 10 * round:
                pass
            execute_sql(postgres.url(), terminate)

    harassed(place, harass)
