"""The `eventsourcing` library's own contracts, which our recorders have to pass as well."""

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import Any

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
)
from eventsourcing.utils import Environment

from event_stores import new_place, open_store

with pytest.MonkeyPatch.context() as patch:
    # The module imports its AES cipher, and that a package for which we have no other use.
    patch.setitem(sys.modules, "eventsourcing.cipher", SimpleNamespace(AESCipher=None))
    from eventsourcing.tests.persistence import (
        AggregateRecorderTestCase,
        ApplicationRecorderTestCase,
        NonInterleavingNotificationIDsBaseCase,
    )


class Recorders:
    """The recorders of one new store; may be asked for several times, as by several processes."""

    @pytest.fixture(autouse=True)
    def opened(self, request: pytest.FixtureRequest) -> Iterator[None]:
        with new_place(self.kind, request) as place, ExitStack() as self._opened:
            self._place = place
            threads = set(threading.enumerate())
            yield
            # The library's tests do not wait for their readers, whose connections end here.
            for thread in set(threading.enumerate()) - threads:
                thread.join(10)

    def factory(self) -> InfrastructureFactory[Any]:
        store = self._opened.enter_context(closing(open_store(self._place)))
        return self._opened.enter_context(closing(store.factory(Environment("registry", {}))))


class Log(Recorders):
    # They print figures and check nothing: `make bench` measures.
    test_performance = None
    test_concurrent_throughput = None

    def create_recorder(self) -> ApplicationRecorder:
        return self.factory().application_recorder()


class Snapshots(Recorders):
    test_performance = None

    def create_recorder(self) -> AggregateRecorder:
        return self.factory().aggregate_recorder("snapshots")


class TestLogInSQLite(Log, ApplicationRecorderTestCase):
    kind = "sqlite"


class TestSnapshotsInSQLite(Snapshots, AggregateRecorderTestCase):
    kind = "sqlite"


class TestPositionsInSQLite(Log, NonInterleavingNotificationIDsBaseCase):
    kind = "sqlite"


@pytest.mark.service
class TestLogInPostgreSQL(Log, ApplicationRecorderTestCase):
    kind = "postgres"


@pytest.mark.service
class TestSnapshotsInPostgreSQL(Snapshots, AggregateRecorderTestCase):
    kind = "postgres"


@pytest.mark.service
class TestPositionsInPostgreSQL(Log, NonInterleavingNotificationIDsBaseCase):
    kind = "postgres"
