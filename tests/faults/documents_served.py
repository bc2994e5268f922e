"""A registry with some packages, all the documents that it serves, and a tireless reader."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from process_tree import ProcessTree
from publications import ABBREVIATED, SAID_YES, bearer, index_path, publication

Documents = dict[str, tuple[bytes, str]]

NAMES = 5
VERSIONS = 12


@dataclass(frozen=True)
class Published:
    """A stopped registry's data, what it served, the URL that this names, alice's token."""

    data: Path
    public_url: str
    documents: Documents
    token: str


@contextmanager
def running(folder: Path, **settings: object) -> Iterator[ProcessTree]:
    tree = ProcessTree(folder, **settings)
    try:
        tree.start()
        yield tree
    finally:
        tree.close()


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
    """Reads all the time, and remembers every answer that is neither right nor "not yet".

    not_yet: whether 503 is allowed; other: what a document that is not as in `right` must contain.
    """

    def __init__(
        self, url: str, right: Documents, *, not_yet: bool = True, other: bytes | None = None
    ) -> None:
        self._url, self._right, self._not_yet, self._other = url, right, not_yet, other
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.wrong: list[str] = []
        self.answers = 0
        self.unavailable = 0

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
                    right = answer.content == self._right[f"{path} {form}"][0]
                    if answer.status_code == 503 and self._not_yet:
                        self.unavailable += 1
                    elif answer.status_code != 200:
                        self.wrong.append(f"{path}: {answer.status_code} {answer.text}")
                    elif not right and (self._other is None or self._other not in answer.content):
                        self.wrong.append(f"{path}: other bytes")
