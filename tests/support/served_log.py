"""A registry with a log of any size, its tiles, and one checkpoint; served over HTTP."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from asgi_server import AsgiServer
from packledger.audit.checks.faults import Fault
from packledger.audit.checks.log import SignedLog, verify_log
from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import VerifierKey
from packledger.domain.events.cargo import CrateVersionYanked
from packledger.domain.streams import CRATES
from packledger.eventstore.checkpoints import CheckpointRow
from packledger.eventstore.mapper import StreamEvent
from packledger.projections.generation import Generations
from packledger.projections.log_tiles.fold import LOG_TILES
from packledger.server import wiring
from packledger.server.http.app import build_app
from packledger.server.processes.signing import opened_signer
from packledger.server.settings.settings import Settings

PUBLIC_URL = "https://registry.example.com/path"
SERVED = "the served checkpoint"


class ServedLog:
    """A data directory without a process; `serving` gives it a server."""

    def __init__(self, data: Path, size: int) -> None:
        self.data = data
        self.settings = Settings(data=str(data), public_url=PUBLIC_URL)
        self.registry = wiring.open_registry(self.settings, create=True)
        self.append(size)
        self.sign()

    def append(self, count: int) -> None:
        """Append events that are all alike, and have the tiles built."""
        log, stream = self.registry.log, CRATES.id("demo")
        first = log.last_position() + 1
        event = CrateVersionYanked(
            at="2026-11-21T10:00:00.000Z", by="alice", name="demo", version="1.0.0"
        )
        rows = [
            log.mapper.to_stored_event(StreamEvent(stream, version, event))
            for version in range(first, first + count)
        ]
        if rows:
            log.recorder.insert_events(rows)
        self.rebuild()

    def rebuild(self) -> None:
        wiring.run_rebuild(self.settings, self.registry, LOG_TILES)

    def sign(self) -> None:
        with opened_signer(self.settings) as (signer, _):
            signer.step()

    @property
    def key(self) -> VerifierKey:
        return LogKeys(self.data).all()[0].verifier

    @property
    def row(self) -> CheckpointRow:
        return self.registry.checkpoints.read()

    def publish(self, note: str) -> None:
        """Put another checkpoint in the place of the one that is served."""
        row = self.row
        assert self.registry.checkpoints.replace(
            CheckpointRow(row.number + 1, note, note, row.vkey)
        )

    def change_store(self, statement: str) -> None:
        with closing(sqlite3.connect(self.data / "events.sqlite")) as db, db:
            db.execute(statement)

    def change_tiles(self, statement: str, *values: object) -> None:
        generations = Generations(self.data / "read", LOG_TILES)
        with closing(sqlite3.connect(generations.model(generations.live()))) as db, db:
            assert db.execute(statement, values).rowcount > 0

    def faults(self, since: int = 1) -> list[Fault]:
        """Return what our own check says."""
        row = self.row
        notes = {SERVED: row.published, "what the key signed last": LogKeys(self.data).remembered()}
        tiles = wiring.open_reader(self.settings, self.registry.board, LOG_TILES).db()
        return list(
            verify_log(
                self.registry.log,
                tiles,
                SignedLog(SERVED, notes, dict.fromkeys(notes, self.key)),
                since,
            )
        )

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve; the URL of the registry."""
        app = build_app(self.settings)
        with closing(AsgiServer(app)) as server:
            yield server.url

    def close(self) -> None:
        wiring.close_registry(self.registry)
