"""A sealed place with a registry, where tests do what the documents and pages say.

`runs` gives a test blocks of documents, and remembers that they are run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from npm_client import published
from recipes import Desk, documents
from running_registry import RunningRegistry
from sealed import ADDRESS, Sealed

BLOCKS = documents()
RUN: set[str] = set()
CLIENTS = ("npm", "pnpm", "yarn1", "bun")
_OF_ITSELF = re.compile(
    r"[\w.-]+: GET /(npm|pnpm) HTTP/1\.1\r\n(?!.*\r\nauthorization:)", re.DOTALL | re.IGNORECASE
)


@dataclass
class Place:
    """A registry, the sealed place where it is met, and a maker of desks there."""

    registry: RunningRegistry
    sealed: Sealed
    folder: Path
    private: bool = False
    made: int = 0

    def desk(self, yarn: str = "yarn1", user: str = "alice") -> Desk:
        self.made += 1
        token = self.registry.tokens[user]
        return Desk(self.sealed, self.folder / f"desk-{self.made}", token=token, yarn=yarn)

    def version(self) -> str:
        """A version that nobody has published, newer than all."""
        self.made += 1
        return f"1.{self.made}.0"

    def new_version(self, desk: Desk) -> str:
        """Write one into a project's package.json: what was published stays so."""
        path, version = desk.project / "package.json", self.version()
        path.write_text(path.read_text().replace("1.0.0", version))
        return version

    def has(self, name: str) -> bool:
        return self._is_there(f"/npm/{name.replace('/', '%2f')}")

    def has_crate(self, name: str) -> bool:
        return self._is_there(f"/cargo/crates/{name}/1.0.0/download")

    def _is_there(self, path: str) -> bool:
        return self.registry.http.get(path, headers=self.registry.token()).is_success

    def told_nobody(self) -> None:
        """Nothing went elsewhere."""
        caught = [said for said in self.sealed.caught() if not _OF_ITSELF.match(said)]
        assert caught == [], caught


def runs(*names: str) -> pytest.MarkDecorator:
    """Give a test these blocks of documents, which it runs."""
    RUN.update(names)
    return pytest.mark.parametrize("blocks", [[BLOCKS[name] for name in names]], ids=[""])


EACH = pytest.mark.parametrize("client", CLIENTS)


def opened(folder: Path, **settings: object) -> Iterator[Place]:
    """Open a place, and close it after."""
    running = RunningRegistry(folder / "registry", public_url=f"http://{ADDRESS}", **settings)
    sealed = None
    try:
        running.start()
        running.add_user("alice")
        sealed = Sealed(folder / "sealed", running.tap.port)
        yield Place(running, sealed, folder, bool(settings.get("private")))
    finally:
        if sealed is not None:
            sealed.close()
        running.close()


def give(place: Place, name: str) -> None:
    """The registry has this package, unless a test before gave it."""
    if not place.has(name):
        published(place.registry, name, "1.0.0")
