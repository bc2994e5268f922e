"""The table of projections: every row says all that others need, and slots never move."""

import pytest

from packledger.projections import catalogue
from packledger.projections.board import FIRST_SLOT, SLOTS, SLOTS_EACH
from packledger.projections.catalogue import Row
from packledger.server.settings.keys import schema_of
from packledger.server.settings.settings import Settings

ROWS = pytest.mark.parametrize("row", catalogue.rows(), ids=lambda row: row.name)

SLOTS_OF_EACH = {
    "sparse-index": 8,
    "packuments": 16,
    "search": 24,
    "accounts": 32,
    "pages": 40,
    "log-tiles": 48,
    "static-tree": 56,
}
"""Only ever added to: web workers of one release read the board of another one's projector."""


@ROWS
def test_every_row_is_complete(row: Row) -> None:
    assert row.name
    assert row.name == row.kind().name
    assert row.weight_us >= 1
    assert row.affects
    assert row.awaited in {True, False}
    assert not row.setting or tuple(row.setting.split(".")) in schema_of(Settings).keys


@ROWS
def test_a_projection_has_a_schema_and_a_renderer(row: Row) -> None:
    assert row.kind.schema >= 1
    assert row.kind.renderer >= 1


def test_no_slot_has_moved() -> None:
    assert {row.name: row.slot for row in catalogue.rows()} == SLOTS_OF_EACH


@ROWS
def test_slots_lie_apart_and_on_the_board(row: Row) -> None:
    assert row.slot >= FIRST_SLOT
    assert row.slot + SLOTS_EACH <= SLOTS
    others = [other.slot for other in catalogue.rows() if other is not row]
    assert all(abs(row.slot - other) >= SLOTS_EACH for other in others)


def test_a_row_is_found_by_its_name() -> None:
    assert [catalogue.row_of(row.name) for row in catalogue.rows()] == list(catalogue.rows())
