"""Read models that were deleted or damaged: after a start they give the same bytes and ETags."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from documents_served import Onlooker, Published, documents, running
from process_tree import ProcessTree

PAGE_BYTES = 4096


def models(data: Path) -> list[Path]:
    found = sorted((data / "read").glob("*/[0-9]*/model.sqlite"))
    assert len(found) >= 4
    return found


def currents(data: Path) -> list[Path]:
    return sorted((data / "read").glob("*/current"))


def delete_everything(data: Path) -> None:
    shutil.rmtree(data / "read")


def delete_models(data: Path) -> None:
    for path in models(data):
        path.unlink()


def delete_current(data: Path) -> None:
    for path in currents(data):
        path.unlink()


def empty_current(data: Path) -> None:
    for path in currents(data):
        path.write_bytes(b"")


def garble_current(data: Path) -> None:
    for path in currents(data):
        path.write_bytes(b"\xff\x00 not a number")


def name_a_missing_generation(data: Path) -> None:
    for path in currents(data):
        path.write_text("999")


def empty_models(data: Path) -> None:
    for path in models(data):
        path.write_bytes(b"")


def halve_models(data: Path) -> None:
    for path in models(data):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_last_page(data: Path) -> None:
    for path in models(data):
        path.write_bytes(path.read_bytes()[:-PAGE_BYTES])


def flip_header(data: Path) -> None:
    for path in models(data):
        flip(path, range(16))


def flip_pages(data: Path) -> None:
    """Spoil the head of every page but the first two, so that the file opens as if it were well."""
    for path in models(data):
        size = path.stat().st_size
        assert size > 3 * PAGE_BYTES
        flip(path, (at + n for at in range(2 * PAGE_BYTES, size, PAGE_BYTES) for n in range(8)))


def flip(path: Path, places: Iterable[int]) -> None:
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 0xFF
    path.write_bytes(content)


def leave_a_garbled_journal(data: Path) -> None:
    for path in models(data):
        path.with_name("model.sqlite-wal").write_bytes(random.Random(3).randbytes(40_000))
        path.with_name("model.sqlite-shm").write_bytes(random.Random(4).randbytes(32_768))


def leave_half_a_generation(data: Path) -> None:
    for path in currents(data):
        folder = path.parent / f"{int(path.read_text()) + 1:06d}"
        folder.mkdir()
        (folder / "model.sqlite").write_bytes(b"SQLite format 3\x00 and then the power went")
        (path.parent / "current.new").write_bytes(b"")


def run_ahead_of_the_log(data: Path) -> None:
    """What is left when an older backup of the log alone is put back."""
    for path in models(data):
        db = sqlite3.connect(path)
        with db:
            db.execute("UPDATE meta SET value = value + 1000 WHERE key = 'position'")
        db.close()


def garble_board(data: Path) -> None:
    path = data / "run" / "board"
    path.write_bytes(random.Random(5).randbytes(path.stat().st_size))


def board_from_before_a_reboot(data: Path) -> None:
    """Every number far ahead: the clock of the board's heartbeat starts at 0 with the machine."""
    (data / "run" / "board").write_bytes((2**40).to_bytes(8, "little") * 512)


@pytest.mark.parametrize(
    "damage",
    [
        delete_everything,
        delete_models,
        delete_current,
        empty_current,
        garble_current,
        name_a_missing_generation,
        empty_models,
        halve_models,
        cut_last_page,
        flip_header,
        flip_pages,
        leave_a_garbled_journal,
        leave_half_a_generation,
        run_ahead_of_the_log,
        garble_board,
        board_from_before_a_reboot,
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_start_gives_the_same_bytes_and_etags_back(
    published: Published, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "registry"
    shutil.copytree(published.data, folder / "data")
    damage(folder / "data")
    tree = ProcessTree(folder, public_url=published.public_url)
    with Onlooker(tree.direct, published.documents) as onlooker:
        try:
            tree.start()
            assert documents(tree.direct) == published.documents
            tree.cli("rebuild", "--check")
        finally:
            tree.close()
    assert onlooker.wrong == []
    assert onlooker.answers > 0


def test_a_flipped_bit_in_a_document_is_found_by_check_and_mended_by_rebuild(
    published: Published, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    shutil.copytree(published.data, folder / "data")
    model = next(path for path in models(folder / "data") if "sparse-index" in str(path))
    content = model.read_bytes()
    name = b'"vers":"1.7.0"'
    assert name in content
    model.write_bytes(content.replace(name, b'"vers":"1.7.8"', 1))
    with running(folder, public_url=published.public_url) as tree:
        said = tree.cli("rebuild", "--check", fails=True)
        assert "sparse-index" in said
        assert "cargo-name-" in said
        assert "packledger rebuild sparse-index" in said
        tree.cli("rebuild", "sparse-index")
        tree.cli("rebuild", "--check")
        assert documents(tree.direct) == published.documents


def test_read_models_may_be_deleted_when_nothing_runs(published: Published, tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    shutil.copytree(published.data, folder / "data")
    delete_everything(folder / "data")
    tree = ProcessTree(folder, public_url=published.public_url)
    try:
        tree.cli("rebuild")
        tree.cli("rebuild", "--check")
        tree.start()
        assert documents(tree.direct) == published.documents
    finally:
        tree.close()
