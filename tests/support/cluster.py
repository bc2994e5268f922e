"""A real cluster on loopback: PostgreSQL, a broker, an S3 server, a relay, and nodes.

Everything is a process of its own with a pid of its own; each can be killed and started again.
"""

import contextlib
import shutil
import socket
import socketserver
import tempfile
import threading
from pathlib import Path

from kafka import KafkaAdminClient

from kafka_broker import Broker
from node import Node, Process, restarted
from packledger.domain.errors import Unavailable
from packledger.feeds.kafka_address import KafkaAddress
from packledger.feeds.kafka_feed import KafkaFeed
from postgres_server import PostgresServer
from processes import run
from running_registry import PACKLEDGER, environment
from s3_server import S3Server

TOPIC = "packledger-events"


class Front:
    """The public address: passes each new connection on to one node, which may change."""

    def __init__(self) -> None:
        self.target = 0
        front = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", front.target)) as node,
                ):
                    up = threading.Thread(target=_copy, args=(self.request, node), daemon=True)
                    up.start()
                    _copy(node, self.request)
                    up.join(5)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Cluster:
    """The stores, a relay and nodes; `front` is what clients know.

    settings: of every process, such as `registration="open"`.
    """

    def __init__(self, nodes: int = 2, **settings: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="packledger-cluster-"))
        self.postgres = PostgresServer()
        self.broker = Broker(self.folder / "kafka")
        self.s3 = S3Server(self.folder / "s3")
        self.front = Front()
        self.url = f"http://127.0.0.1:{self.front.port}"
        self._settings = settings
        self.nodes: list[Node] = []
        self.tokens: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.relays: list[Process] = []
        self._count, self._added = nodes, 0
        self._opened = contextlib.ExitStack()

    # What clients need to know, as of a `RunningRegistry`

    @property
    def index(self) -> str:
        return f"sparse+{self.url}/cargo/index/"

    @property
    def npm(self) -> str:
        return f"{self.url}/npm/"

    def start(self) -> "Cluster":
        """Start everything and wait until every node is ready."""
        self._opened.enter_context(restarted(self._processes))
        self.broker.launch()
        self.postgres.start()
        self.s3.start()
        self.env = self._environment()
        self.relays.append(self.new_relay())
        self.migrate()
        self.broker.wait()
        self.relay.start()
        for _ in range(self._count):
            self.add_node().start()
        for node in self.nodes:
            node.wait_ready()
        if self.nodes:
            self.front.target = self.nodes[0].port
            for name in ("alice", "bob"):
                self.add_user(name)
        return self

    def _environment(self) -> dict[str, str]:
        values = {
            "public_url": self.url,
            "database": self.postgres.new_database(),
            **self.s3.settings("blobs"),
            "kafka": self.broker.server,
            "kafka_topic": TOPIC,
            **self._settings,
        }
        return environment(values)

    def _processes(self) -> list[Process]:
        return [*self.relays, *(one for node in self.nodes for one in (node.web, node.project))]

    def migrate(self) -> str:
        """Run `packledger migrate`; what it printed."""
        env = {**self.env, "PACKLEDGER_DATA": str(self.folder / "migrate")}
        return run([PACKLEDGER, "migrate"], cwd=self.folder, env=env).stdout

    @property
    def relay(self) -> Process:
        return self.relays[0]

    def new_relay(self) -> Process:
        env = {**self.env, "PACKLEDGER_DATA": str(self.folder / "relay")}
        return Process(["relay"], env, self.folder / f"relay-{len(self.relays) + 1}.log")

    def add_node(self) -> Node:
        """Return one more node, which is not started."""
        self._added += 1
        name = f"node-{self._added}"
        self.nodes.append(Node(self.folder / name, name, self.env))
        return self.nodes[-1]

    def add_user(self, name: str) -> None:
        """Create an account with the password `password of NAME`, and a token of it."""
        node = self.nodes[0]
        node.cli("user", "add", name, "--password-stdin", stdin=f"password of {name}\n")
        self.tokens[name] = node.cli("token", "create", "--user", name).strip()
        self.wait_for(self.position())

    def position(self) -> int:
        """The length of the log."""
        health = self.nodes[0].health()
        assert health["store"] == "ok", health
        return int(health["position"])

    def wait_for(self, position: int) -> None:
        try:
            for node in self.nodes:
                node.wait_for(position)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.relay.said()}") from None

    @property
    def address(self) -> KafkaAddress:
        return KafkaAddress((self.broker.server,), TOPIC)

    def delete_topic(self) -> None:
        with KafkaAdminClient(**self.address.options()) as admin:
            admin.delete_topics([TOPIC])

    def topic_reaches(self, position: int) -> bool:
        with contextlib.suppress(Unavailable), contextlib.closing(KafkaFeed(self.address)) as feed:
            return feed.last_position() >= position
        return False

    def remove(self, node: Node) -> None:
        """Stop a node and forget it."""
        node.stop()
        node.close()
        self.nodes.remove(node)

    def close(self) -> None:
        """End every process and remove everything."""
        self._opened.close()
        for node in self.nodes:
            node.close()
        for relay in self.relays:
            relay.kill_everything()
        self.front.close()
        self.s3.kill()
        self.broker.stop()
        self.postgres.close()
        shutil.rmtree(self.folder)
