"""`packledger verify`: it finds nothing in a sound registry, and names each fault of another."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from packledger.audit.verify import Report
from packledger.cli.log_signing import opened_signer
from packledger.cli.verifies import verify_all
from small_registry import ADMIN, SmallRegistry, memory_folder


class Verified:
    """A stopped registry with a bit of everything, its log signed."""

    def __init__(self, folder: Path) -> None:
        with closing(SmallRegistry(folder)) as small:
            self.settings, self.data = small.settings, folder
            small.registry.board.stop()
            for version in ("1.0.0", "1.1.0"):
                small.publish_crate(ADMIN, "demo", version)
                small.publish_npm(ADMIN, "@acme/tool", version)
            small.catch_up()
            with opened_signer(small.settings) as (signer, _):
                signer.step()

    def verify(self, since: int = 0) -> Report:
        return verify_all(self.settings, since, blobs=True)

    def whats(self, since: int = 0) -> list[str]:
        return [fault.what for fault in self.verify(since).faults]

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self.data / "events.sqlite")) as db, db:
            assert db.execute(statement).rowcount > 0


@pytest.fixture
def verified() -> Iterator[Verified]:
    with memory_folder() as folder:
        yield Verified(folder)


def test_a_sound_registry_has_no_faults(verified: Verified) -> None:
    report = verified.verify()
    assert report.faults == []
    assert report.position > 6
    assert report.blobs == 6, "two crates, two tarballs, two READMEs"
    assert report.orphans == 0
    assert len(report.read_models) == 5
