"""Every projection: a row for each, which is all that has to be said of it outside its folder.

To add one, write its folder and its row. The board, the projector, rebuilds, checks and `/health`
read the rows; whoever shows what it writes opens it by its name.
"""

import msgspec

from packledger.projections.accounts.fold import Accounts
from packledger.projections.log_tiles.fold import LogTiles
from packledger.projections.packuments.fold import Packuments
from packledger.projections.pages.fold import Pages
from packledger.projections.projection import Projection
from packledger.projections.search.fold import Search
from packledger.projections.sparse_index.fold import SparseIndex
from packledger.projections.static_tree.fold import StaticTree


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What others must know of a projection.

    slot: of the board, where its own begin; never given to another one, since processes of two
    releases may share a board. weight_us: processor time of an event in a rebuild, as measured with
    a generated log of 2,000,000. affects: who is led astray when it is wrong, or what. awaited: a
    client reads it next after its own change, so a publish waits for it. setting: as a path in
    the settings, without which a node has none; empty for what each node has.
    """

    kind: type[Projection]
    slot: int
    weight_us: int
    affects: str
    awaited: bool
    setting: str = ""

    @property
    def name(self) -> str:
        """The projection's name."""
        return self.kind.name


CATALOGUE = (
    Row(
        kind=SparseIndex,
        slot=8,
        weight_us=6,
        affects="cargo: which versions there are, and their digests",
        awaited=True,
    ),
    Row(
        kind=Packuments,
        slot=16,
        weight_us=6,
        affects="npm, pnpm, yarn and bun: which versions there are, and their digests",
        awaited=True,
    ),
    Row(
        kind=Search,
        slot=24,
        weight_us=12,
        affects="what a search finds",
        awaited=True,
    ),
    Row(
        kind=Accounts,
        slot=32,
        weight_us=1,
        affects="who may log in and publish",
        awaited=True,
    ),
    Row(
        kind=Pages,
        slot=40,
        weight_us=8,
        affects="what people read about packages",
        awaited=True,
    ),
    Row(
        kind=LogTiles,
        slot=48,
        weight_us=4,
        affects="auditors, receipts, and views of the past",
        awaited=True,
    ),
    Row(
        kind=StaticTree,
        slot=56,
        weight_us=3,
        affects="what nginx answers with in our place",
        awaited=True,
        setting="static.tree",
    ),
)


def rows() -> tuple[Row, ...]:
    """Return every row. Ask at each use: what is kept of it would not know of another."""
    return CATALOGUE


def row_of(name: str) -> Row:
    """Return the row of a projection by its name."""
    return next(row for row in CATALOGUE if row.name == name)


def on_every_node() -> tuple[str, ...]:
    """Return the names of the projections that need no setting."""
    return tuple(row.name for row in CATALOGUE if not row.setting)


def weights() -> dict[str, int]:
    """Return what an event costs each projection in a rebuild, in microseconds."""
    return {row.name: row.weight_us for row in CATALOGUE}
