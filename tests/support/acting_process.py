"""The process of a reaction that appends to a file, and dies, waits or refuses where it is told to.

python acting_process.py PLACE FOLDER       PLACE: a data directory, or the URL of a PostgreSQL
python acting_process.py --data DIR --listen URL...    a whole `serve`, beside ACTING_FOLDER

In the folder: `acts` gets a line for each event; a file `dies-before-7` or `dies-after-7` is used
up by who dies there, `kills-7` and `refuses-7` work each time, whoever finds `holds-7` makes it
`held-7` and waits for `go-7`.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from event_stores import open_store
from packledger.domain.errors import Unavailable
from packledger.eventstore.log import Recorded
from packledger.eventstore.postgres.settings import Postgres
from packledger.eventstore.reactions import ReactionState
from packledger.reactions.reaction import Begins, Page, Patience
from packledger.server import logs
from packledger.server.processes.reacting import react
from packledger.server.settings.settings import Settings, load
from process_tree import wait_until

FOLDER, PATIENCE, BEGINS = "ACTING_FOLDER", "ACTING_PATIENCE", "ACTING_BEGINS"
NAME = "file"
QUICK = Patience(lease_s=0.5, limit_s=60.0, tries=5, first_s=0.01, longest_s=0.05)


class Writes:
    """Appends the position of each event to a file."""

    name = NAME
    page_events = 1

    def __init__(self, folder: Path, begins: Begins, patience: Patience) -> None:
        self._folder, self.begins, self.patience = folder, begins, patience

    def wants(self, recorded: Recorded) -> bool:
        return True

    def act(self, page: Page) -> None:
        for one in page.events:
            self._at("before", one.position)
            with (self._folder / "acts").open("a") as file:
                file.write(f"{one.position} {page.fence} {page.attempt} {os.getpid()}\n")
                file.flush()
                os.fsync(file.fileno())
            self._at("after", one.position)

    def _at(self, when: str, position: int) -> None:
        once = self._folder / f"dies-{when}-{position}"
        if once.exists():
            once.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if when == "after":
            return
        if (self._folder / f"kills-{position}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (self._folder / f"refuses-{position}").exists():
            raise Unavailable(f"nobody takes {position}")
        holds = self._folder / f"holds-{position}"
        if holds.exists():
            holds.rename(self._folder / f"held-{position}")
            while not (self._folder / f"go-{position}").exists():
                time.sleep(0.01)


class Act(msgspec.Struct, frozen=True):
    """A line of `acts`."""

    position: int
    fence: int
    attempt: int
    pid: int


class Acting:
    """A folder with what was done, and what shall happen. store: a file, or a database's URL."""

    def __init__(self, folder: Path, store: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.store = folder, store
        self.output = folder / "output"

    def will(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def acts(self) -> list[Act]:
        path = self.folder / "acts"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Act(*map(int, line.split())) for line in lines]

    def positions(self) -> list[int]:
        return [one.position for one in self.acts()]

    def state(self) -> ReactionState | None:
        with closing(open_store(self.store)) as store:
            return store.reactions().states().get(NAME)

    def checkpoint(self) -> int:
        state = self.state()
        return state.position if state else -1

    def start(
        self, patience: Patience = QUICK, begins: Begins = Begins.BEGINNING
    ) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, __file__, _place(self.store), str(self.folder)],
                env=environment_of(self.folder, patience, begins),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @contextmanager
    def started(self, patience: Patience = QUICK) -> Iterator[subprocess.Popen[bytes]]:
        """Give a running process, which ends with the block, however it is then."""
        process = self.start(patience)
        try:
            yield process
        finally:
            process.kill()
            process.wait(20)

    def reach(self, position: int, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the checkpoint, or for the process's end."""
        wait_until(
            lambda: self.checkpoint() >= position or process.poll() is not None,
            f"{position} is reached, or the process ends:\n{self.said()}",
            60,
        )

    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""


def environment_of(
    folder: Path, patience: Patience = QUICK, begins: Begins = Begins.BEGINNING
) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        FOLDER: str(folder),
        PATIENCE: json.dumps(msgspec.to_builtins(patience)),
        BEGINS: begins.name,
    }


def _place(store: str) -> str:
    return store if store.startswith("postgresql:") else str(Path(store).parent)


def _main() -> None:
    patience = msgspec.json.decode(os.environ[PATIENCE], type=Patience)
    writes = Writes(Path(os.environ.pop(FOLDER)), Begins[os.environ[BEGINS]], patience)
    if not sys.argv[1].startswith("--"):
        logs.configure("info")
        place = sys.argv[1]
        database = place if place.startswith("postgresql:") else ""
        data = sys.argv[2] if database else place
        react(Settings(data=data, postgres=Postgres(database)), [writes])
        return
    from packledger.server.processes.serve import serve  # takes long, and none of them needs it

    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--listen", action="append")
    settings = load(None, os.environ, vars(parser.parse_args()))
    serve(settings, reactions=[writes])


if __name__ == "__main__":
    _main()
