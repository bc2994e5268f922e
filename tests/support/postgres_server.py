"""A real PostgreSQL of our own: on a free loopback port, below a folder that goes with it."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from packledger.eventstore.postgres.schema import migrate
from running_registry import free_port

START_TIMEOUT_S = 60.0
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""For tests in which no power is lost."""


def programs() -> Path:
    """Return the folder of the newest PostgreSQL's programs."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0),
    )
    if not found:
        raise RuntimeError(
            "PostgreSQL is missing; run `make test`, or tests/system_tools.sh servers"
        )
    return found[-1]


class PostgresServer:
    """One cluster; `start`, `stop` and `kill` may be repeated on the same data and port."""

    def __init__(self, *settings: str, on_disk: bool = False) -> None:
        memory = Path("/dev/shm")
        where = memory if memory.is_dir() and not on_disk else None
        self.folder = Path(tempfile.mkdtemp(prefix="packledger-pg-", dir=where))
        self.port = free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self._spare: list[str] = []
        # It refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        initdb = [programs() / "initdb", "--auth=trust", "--username=packledger", "--no-sync"]
        initdb += ["--encoding=UTF8", "--locale=C", "-D", self.folder / "data"]
        subprocess.run(initdb, user=self._user, cwd="/", check=True, capture_output=True)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://packledger@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and return once it answers."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        settings += ["max_connections=200", "shared_buffers=64MB", *self._settings]
        options = [word for setting in settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [programs() / "postgres", "-D", self.folder / "data", *options],
                user=self._user,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline_s:
                    raise AssertionError((self.folder / "log").read_text()[-4000:]) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Have it end every session and write everything out."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Have every process of it drop dead where it is."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def dump(self, url: str) -> bytes:
        """Return a backup of a database."""
        command = [programs() / "pg_dump", "--format=custom", url]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def restore(self, url: str, backup: bytes) -> None:
        """Put a backup in the place of a database, whoever uses it."""
        name = url.rpartition("/")[2]
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )
        command = [programs() / "pg_restore", "--clean", "--if-exists", "--dbname", url]
        subprocess.run(command, input=backup, check=True, capture_output=True)

    def new_database(self) -> str:
        """Return the URL of a new database without a table."""
        return self._created("template0")

    @contextmanager
    def store(self) -> Iterator[str]:
        """Yield the URL of an empty database with our schema, for a test that leaves it that.

        Emptied and used again, since each takes 8 MB of memory.
        """
        url = self._spare.pop() if self._spare else self.new_store()
        tables = _tables(url)
        yield url
        if _tables(url) == tables:
            self.execute(f"TRUNCATE {', '.join(tables)}", url.rpartition("/")[2])
            self._spare.append(url)

    def new_store(self) -> str:
        """Return the URL of a new database with our schema; 60 ms, since it is a copy."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = 'migrated'"
            ).fetchone()
        if known is None:
            self.execute("CREATE DATABASE migrated TEMPLATE template0")
            migrate(self.url("migrated"))
        return self._created("migrated")

    def _created(self, template: str) -> str:
        name = f"test_{next(self._names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def close(self) -> None:
        """Stop, and remove everything."""
        self.kill()
        shutil.rmtree(self.folder)


def _tables(url: str) -> list[str]:
    query = (
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'schema_version' ORDER BY 1"
    )
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a process; they ask it for databases of their own."""
    server = PostgresServer(*FAST)
    try:
        server.start()
        yield server
    finally:
        server.close()
