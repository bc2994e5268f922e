"""Compares the static tree's files with what the app serves."""

import gzip
import zlib
from collections.abc import Iterator

from packledger.projections.static_tree.files import CONFIG, paths_of
from packledger.projections.static_tree.sources import Form, Row, opened_tree, rows_where
from packledger.projections.static_tree.writer import StaticWriter


def wrong_files(writer: StaticWriter) -> list[str]:
    """Return the paths of files that are not as they should be, or should not be there.

    Documents that are about to be written are left out.
    """
    known = {CONFIG, f"{CONFIG}.gz"}
    wrong: list[str] = []
    with opened_tree(writer.generations) as db:
        after = 0
        while db is not None and (rows := rows_where(db, "id > ?", after)):
            for row in rows:
                forms = writer.sources[row.kind].forms(row)
                with writer.generations.locked():
                    if forms is not None and rows_where(db, "id = ? AND dirty = 0", row.id) == [
                        row
                    ]:
                        wrong += _wrong_of(writer, row, forms)
                known.update(_paths(row))
            after = rows[-1].id
    return wrong + sorted(set(writer.files.every()) - known)


def _paths(row: Row) -> Iterator[str]:
    for path in paths_of(row.kind, row.name):
        yield from (path, f"{path}.gz")


def _wrong_of(writer: StaticWriter, row: Row, forms: list[Form]) -> Iterator[str]:
    expected = {form.path: (form.body, form.mtime_s) for form in forms}
    for path in paths_of(row.kind, row.name):
        if writer.files.read(path) != expected.get(path):
            yield path
        zipped = writer.files.read(f"{path}.gz")
        if (zipped and (_unpacked(zipped[0]), zipped[1])) != expected.get(path):
            yield f"{path}.gz"


def _unpacked(packed: bytes) -> bytes | None:
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        return None
