"""Read models that were deleted or damaged: after a start they give the same bytes and ETags."""

import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from process_tree import ProcessTree
from publications import ABBREVIATED, SAID_YES, bearer, index_path, publication

Documents = dict[str, tuple[bytes, str]]

NAMES = 5
VERSIONS = 12
PAGE_BYTES = 4096


@dataclass(frozen=True)
class Published:
    """A stopped registry's data, what it served, and the URL that its documents name."""

    data: Path
    public_url: str
    documents: Documents


@contextmanager
def running(folder: Path, **settings: object) -> Iterator[ProcessTree]:
    tree = ProcessTree(folder, **settings)
    try:
        tree.start()
        yield tree
    finally:
        tree.close()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    with running(tmp_path_factory.mktemp("published")) as tree:
        tree.add_user("alice")
        with httpx.Client(base_url=tree.direct, timeout=30) as http:
            publish_all(http, tree.tokens["alice"])
        return Published(tree.data, tree.url, documents(tree.direct))


def publish_all(http: httpx.Client, token: str) -> None:
    for ecosystem in ("cargo", "npm"):
        for number in range(NAMES):
            for version in range(VERSIONS):
                one = publication(ecosystem, f"{ecosystem}-name-{number}", f"1.{version}.0")
                assert one.put(http, token).status_code in SAID_YES
    for method, path, body in (
        ("DELETE", "/cargo/api/v1/crates/cargo-name-1/1.1.0/yank", None),
        ("PUT", "/npm/-/package/npm-name-1/dist-tags/next", "1.1.0"),
    ):
        answer = http.request(method, path, json=body, headers=bearer(token))
        assert answer.status_code in SAID_YES, answer.text


def asked() -> Iterator[tuple[str, str]]:
    for number in range(NAMES):
        yield index_path(f"cargo-name-{number}"), "*/*"
        yield f"/npm/npm-name-{number}", "*/*"
        yield f"/npm/npm-name-{number}", ABBREVIATED
        yield f"/npm/npm-name-{number}/1.3.0", "*/*"


def documents(url: str) -> Documents:
    """Every document by what was asked: its bytes and its ETag."""
    found: Documents = {}
    with httpx.Client(base_url=url, timeout=30) as http:
        for path, form in asked():
            answer = http.get(path, headers={"accept": form})
            assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
            found[f"{path} {form}"] = (answer.content, answer.headers["etag"])
        assert http.get("/npm/-/v1/search?text=npm-name").json()["total"] == NAMES
        assert http.get("/cargo/api/v1/crates?q=cargo-name").json()["meta"]["total"] == NAMES
    return found


class Onlooker:
    """Reads all the time, and remembers every answer that is neither right nor "not yet"."""

    def __init__(self, url: str, right: Documents) -> None:
        self._url, self._right = url, right
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.wrong: list[str] = []
        self.answers = 0

    def __enter__(self) -> "Onlooker":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _look(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as http:
            while not self._stopping.is_set():
                for path, form in asked():
                    try:
                        answer = http.get(path, headers={"accept": form})
                    except httpx.TransportError:
                        self._stopping.wait(0.01)  # it does not listen yet
                        continue
                    self.answers += 1
                    if answer.status_code == 503:
                        assert "retry-after" in answer.headers
                    elif answer.status_code != 200:
                        self.wrong.append(f"{path}: {answer.status_code} {answer.text}")
                    elif answer.content != self._right[f"{path} {form}"][0]:
                        self.wrong.append(f"{path}: other bytes")


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


def flip(path: Path, places: Iterator[int] | range) -> None:
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
