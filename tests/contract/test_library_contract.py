"""The `eventsourcing` library's own contracts, which our recorders have to pass as well."""

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from eventsourcing.persistence import AggregateRecorder, ApplicationRecorder
from eventsourcing.utils import Environment

from packledger.eventstore.sqlite_recorder import SQLiteLogFactory
from packledger.eventstore.sqlite_store import SQLiteStore
from small_registry import memory_folder

with pytest.MonkeyPatch.context() as patch:
    # The module imports its AES cipher, and that a package for which we have no other use.
    patch.setitem(sys.modules, "eventsourcing.cipher", SimpleNamespace(AESCipher=None))
    from eventsourcing.tests.persistence import (
        AggregateRecorderTestCase,
        ApplicationRecorderTestCase,
        NonInterleavingNotificationIDsBaseCase,
    )


class SQLite:
    """The recorders of one file; may be asked for several times, as by several processes."""

    def setUp(self) -> None:
        self._folder = memory_folder()
        self._path = self._folder.__enter__() / "events.sqlite"
        self._store = SQLiteStore(self._path)
        self._factories: list[SQLiteLogFactory] = []
        self._threads = set(threading.enumerate())

    def tearDown(self) -> None:
        # The library's tests do not wait for their readers, whose connections end here.
        for thread in set(threading.enumerate()) - self._threads:
            thread.join(10)
        for factory in self._factories:
            factory.close()
        self._store.close()
        self._folder.__exit__(None, None, None)

    def factory(self) -> SQLiteLogFactory:
        self._factories.append(self._store.factory(Environment("registry", {})))
        return self._factories[-1]


class TestLogRecorder(SQLite, ApplicationRecorderTestCase):
    # They print figures and check nothing: `make bench` measures.
    test_performance = None
    test_concurrent_throughput = None

    def create_recorder(self) -> ApplicationRecorder:
        return self.factory().application_recorder()


class TestSnapshotRecorder(SQLite, AggregateRecorderTestCase):
    test_performance = None

    def create_recorder(self) -> AggregateRecorder:
        return self.factory().aggregate_recorder("snapshots")


class TestPositions(SQLite, NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> Any:
        return self.factory().application_recorder()
