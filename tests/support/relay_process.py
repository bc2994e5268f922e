"""A relay in a process of its own, which may be told at which step to be killed, or to wait.

python relay_process.py FOLDER SERVERS TOPIC REPLICAS [METHOD WHEN NTH]
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from kafka.producer.future import FutureRecordMetadata

from event_stores import open_sqlite
from one_fault import AFTER, BEFORE
from packledger.feeds import relay
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.relay import run_relay
from packledger.feeds.store_feed import StoreFeed

METHODS: dict[str, Any] = {
    "init_transactions": KafkaProducer,
    "begin_transaction": KafkaProducer,
    "send": KafkaProducer,
    "flush": KafkaProducer,
    "get": FutureRecordMetadata,
    "commit_transaction": KafkaProducer,
}


HANGS, WAITS = "hangs", "waits"


class RelayProcess:
    """A relay of the log in a folder.

    fault: METHOD, WHEN, NTH of what kills it, or lets it hang, or wait until `go_on`; constants:
    those of `feeds.relay`.
    """

    def __init__(
        self, folder: Path, address: KafkaAddress, *fault: object, **constants: float
    ) -> None:
        self._waiting = folder / WAITS
        arguments = [folder, ",".join(address.servers), address.topic, address.replicas, *fault]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, arguments)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "RELAY_CONSTANTS": json.dumps(
                    {name.upper(): constants[name] for name in constants}
                ),
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    def lives(self) -> bool:
        return self._process.poll() is None

    def waits(self) -> bool:
        """Return whether it is before the step that it waits at."""
        return self._waiting.exists()

    def go_on(self) -> None:
        self._waiting.unlink()

    def ended(self, timeout_s: float = 30, *, stop: bool = False) -> tuple[int, str]:
        """Wait for its end; return the exit code and what it printed. stop: ask it to end."""
        if stop:
            self._process.terminate()
        printed = self._process.communicate(timeout=timeout_s)[1]
        return self._process.returncode, printed


def _die_at(waiting: Path, method: str, when: str, nth: int) -> None:
    kind, left = METHODS[method], [nth]
    real = getattr(kind, method)

    def deadly(*arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and when == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        if left[0] == 0 and when == WAITS:
            waiting.touch()
        while left[0] == 0 and (when == HANGS or waiting.exists()):
            time.sleep(0.01)
        result = real(*arguments, **named)
        if left[0] == 0 and when == AFTER:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(kind, method, deadly)


def main(folder: str, servers: str, topic: str, replicas: str, *dies_at: str) -> int:
    if dies_at:
        _die_at(Path(folder) / WAITS, dies_at[0], dies_at[1], int(dies_at[2]))
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    for name, value in json.loads(os.environ["RELAY_CONSTANTS"]).items():
        setattr(relay, name, value)
    address = KafkaAddress(tuple(servers.split(",")), topic, int(replicas))
    log = open_sqlite(Path(folder))
    return run_relay(StoreFeed(log), address, lambda: bool(stopped))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
