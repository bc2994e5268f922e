"""Real Apache Kafka brokers for tests: started on free ports, stopped by pid, nothing left."""

import atexit
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from packledger.feeds.kafka_address import KafkaAddress

JARS = Path(__file__).parents[2] / "build" / "kafka"
STARTS_WITHIN_S = 60.0
_JAVA = (
    *("java", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    *("-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
)


class Node(msgspec.Struct, frozen=True):
    """A broker's number and ports."""

    number: int
    port: int
    controller_port: int

    @staticmethod
    def on_free_ports(number: int) -> "Node":
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            return Node(number, one.getsockname()[1], two.getsockname()[1])


class Broker:
    """One broker, which is a controller too; the only one, or one of `nodes`."""

    def __init__(
        self, folder: Path, node: Node | None = None, nodes: Sequence[Node] | None = None
    ) -> None:
        self.node = node or Node.on_free_ports(1)
        self.folder = folder / f"node-{self.node.number}"
        self._nodes = nodes or [self.node]
        self._process: subprocess.Popen[bytes] | None = None
        self.server = f"127.0.0.1:{self.node.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start the process, on what it left if it ran before."""
        if not JARS.is_dir():
            raise RuntimeError(
                "Kafka's jars are missing; `make test` fetches them into build/kafka"
            )
        if not self.folder.exists():
            self._format()
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*_JAVA, "-Xmx384m", "-cp", f"{JARS}/*", "kafka.Kafka", self._settings],
                stdout=output,
                stderr=output,
            )

    def start(self) -> "Broker":
        """Start and wait until it answers."""
        self.launch()
        self.wait()
        return self

    def wait(self) -> None:
        """Wait until it answers and knows all its peers."""
        deadline_s = time.monotonic() + STARTS_WITHIN_S
        while not (self._listens() and self._is_complete()):
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "output.log").read_text()[-2000:]
            assert time.monotonic() < deadline_s, "the broker does not come up"
            time.sleep(0.05)

    def _listens(self) -> bool:
        # The client would leave the sockets of refused connections to the garbage collector.
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.node.port)) == 0

    def _is_complete(self) -> bool:
        try:
            with KafkaAdminClient(bootstrap_servers=self.server, bootstrap_timeout_ms=500) as admin:
                return len(admin.describe_cluster()["brokers"]) == len(self._nodes)
        except KafkaError:
            return False

    def kill(self) -> None:
        """End it as a crash does, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Stop it in order, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)

    @property
    def _settings(self) -> str:
        return str(self.folder / "server.properties")

    def _format(self) -> None:
        self.folder.mkdir(parents=True)
        Path(self._settings).write_text("\n".join(f"{k}={v}" for k, v in self.properties()))
        cluster = ("-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", self._settings)
        tool = ("-cp", f"{JARS}/*", "kafka.tools.StorageTool", "format", *cluster)
        subprocess.run(
            [*_JAVA, "-Xmx128m", *tool, *self.users()],
            check=True,
            capture_output=True,
        )

    def users(self) -> tuple[str, ...]:
        """Return the tool's arguments for accounts, if clients need one."""
        return ()

    def properties(self) -> Iterator[tuple[str, Any]]:
        copies = len(self._nodes)
        voters = (f"{one.number}@127.0.0.1:{one.controller_port}" for one in self._nodes)
        yield "process.roles", "broker,controller"
        yield "node.id", self.node.number
        yield "controller.quorum.voters", ",".join(voters)
        listener = f"PLAINTEXT://{self.server}"
        yield "listeners", f"{listener},CONTROLLER://127.0.0.1:{self.node.controller_port}"
        yield "advertised.listeners", listener
        yield "inter.broker.listener.name", "PLAINTEXT"
        yield "controller.listener.names", "CONTROLLER"
        yield "listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
        yield "log.dirs", self.folder / "log"
        yield "auto.create.topics.enable", "false"
        for kind in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
            yield f"{kind}.replication.factor", copies
            yield f"{kind}.num.partitions", 4
        for kind in ("transaction.state.log", "share.coordinator.state.topic"):
            yield f"{kind}.min.isr", max(1, copies - 1)
        yield "num.network.threads", 2
        yield "num.io.threads", 4
        yield "log.cleaner.dedupe.buffer.size", 8 * 1024 * 1024
        # Else a broker that was killed is refused for the 9 s after which it counts as gone.
        yield "broker.heartbeat.interval.ms", 500
        yield "broker.session.timeout.ms", 1500
        yield "log.initial.task.delay.ms", 0


class Brokers:
    """One broker, or a cluster of three, in a folder of its own."""

    def __init__(self, count: int = 1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="packledger-kafka-"))
        nodes = [Node.on_free_ports(number) for number in range(1, count + 1)]
        self.nodes = [Broker(self.folder, node, nodes) for node in nodes]

    def start(self) -> "Brokers":
        for broker in self.nodes:
            broker.launch()
        for broker in self.nodes:
            broker.wait()
        return self

    def address(self, topic: str = "") -> KafkaAddress:
        """Return a topic that nobody else uses; it is not created."""
        return KafkaAddress(
            servers=tuple(one.server for one in self.nodes),
            topic=topic or f"log-{uuid.uuid4().hex}",
            replicas=len(self.nodes),
        )

    def coordinator(self, transactional_id: str) -> Broker:
        """Return the broker that decides the transactions of a producer."""
        with self.admin() as admin:
            (topic,) = admin.describe_topics(["__transaction_state"])
        number = 0
        for letter in transactional_id:  # Java's String.hashCode
            number = (31 * number + ord(letter)) % 2**32
        number = abs(number - 2**32 if number >= 2**31 else number) % len(topic["partitions"])
        leaders = {one["partition_index"]: one["leader_id"] for one in topic["partitions"]}
        return next(one for one in self.nodes if one.node.number == leaders[number])

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(**self.address().options())

    def close(self) -> None:
        for broker in self.nodes:
            broker.kill()  # in order, the last ones would wait for a quorum
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def shared_brokers() -> Brokers:
    """The broker of this test process: started when it is first needed, ended with the process."""
    owner = os.getpid()
    brokers = Brokers()

    def close() -> None:
        if os.getpid() == owner:
            brokers.close()

    atexit.register(close)
    return brokers.start()
