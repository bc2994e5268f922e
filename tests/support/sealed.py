"""A place without a network, where programs meet a registry, and a trap in place of all else.

A program in it has its own network: loopback alone. There a door leads to the registry, at the
address that the documents name, and every name in the world leads to the trap. Thus no public host
has to be named here, and no client is told anything: its own defaults lead it there.
Source: https://man7.org/linux/man-pages/man7/network_namespaces.7.html
"""

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from certificates import Authority

ADDRESS = "127.0.0.1:8765"
"""Where the documents have the registry."""
OUTER_NAME = "registry.example.com"
"""And where they have one that others reach, with TLS."""
FRONT, TRAP = "127.0.0.2", "127.0.0.66"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_TIMEOUT_S = 20
_PIECE = 65536
_A_RECORD, _ONE_ANSWER = b"\0\x01", b"\x81\x80\0\x01\0\x01\0\0\0\0"
_NOTHING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
_NO_ANSWER = b"\x81\x80\0\x01\0\0\0\0\0\0"


class Sealed:
    """The place, the door to a registry's port, and what the trap caught.

    asked: names that were looked up.
    """

    def __init__(self, folder: Path, registry_port: int) -> None:
        folder.mkdir(parents=True)
        self.asked: list[str] = []
        self._caught: list[str] = []
        self._callers: list[threading.Thread] = []
        self._port = registry_port
        self._authority = Authority(folder / "certificates")
        self.authority = self._authority.file
        self._process, sockets = self._enter(folder)
        names, door, front, *traps = sockets
        self._sockets = sockets
        self._start(self._answer_names, names)
        self._start(self._accept, door, self._pass_on)
        self._start(self._accept, front, self._front)
        for trap in traps:
            self._start(self._accept, trap, self._trap)

    def _enter(self, folder: Path) -> tuple[subprocess.Popen[bytes], list[socket.socket]]:
        over = folder / "over"
        over.mkdir()
        (over / "_etc_resolv.conf").write_text("nameserver 127.0.0.53\n")
        (over / "_etc_hosts").write_text("127.0.0.1 localhost\n")
        (over / BUNDLE.replace("/", "_")).write_bytes(self.authority.read_bytes())
        ours, theirs = socket.socketpair()
        somebody = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        inside = str(Path(__file__).with_name("sealed_inside.py"))
        listeners = [ADDRESS, f"{FRONT}:443", f"{TRAP}:443", f"{TRAP}:80"]
        arguments = [str(theirs.fileno()), str(over), *listeners]
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", *somebody, sys.executable, inside, *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        theirs.close()
        self._channel = ours
        ours.settimeout(_TIMEOUT_S)
        _, descriptors, _, _ = socket.recv_fds(ours, 16, 1 + len(listeners))
        if not descriptors:
            _, said = process.communicate()
            raise AssertionError(
                "recipes are tried in a network namespace, which this user may not make; run as "
                f"root, or allow unprivileged user namespaces: {said.decode()}"
            )
        return process, [socket.socket(fileno=one) for one in descriptors]

    def command(self, words: list[str]) -> list[str]:
        """What runs `words` in here."""
        somebody = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        keep = ["--net", "--mount", *somebody, "--wd=."]
        return ["nsenter", f"--target={self._process.pid}", *keep, *words]

    def close(self) -> None:
        for one in self._sockets:
            # Wakes who waits for it.
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._channel.close()
        self._process.wait(_TIMEOUT_S)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def caught(self) -> list[str]:
        """The beginnings of what was said to the trap since the last time, each with its host.

        A program that ended has closed its connections, so all that it said is here.
        """
        for caller in self._callers:
            caller.join(_TIMEOUT_S)
            assert not caller.is_alive(), "somebody still talks to the trap"
        said, self._caught, self._callers = self._caught, [], []
        return said

    def _start(self, what: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        thread.start()
        return thread

    def _answer_names(self, names: socket.socket) -> None:
        """Every name is the trap's, but for the registry's own; only IPv4 (RFC 1035)."""
        while True:
            try:
                question, sender = names.recvfrom(_PIECE)
            except OSError:
                return
            if not question:
                return
            labels, place = [], 12
            while question[place]:
                labels.append(question[place + 1 : place + 1 + question[place]].decode())
                place += 1 + question[place]
            name, kind, end = ".".join(labels), question[place + 1 : place + 3], place + 5
            if name != OUTER_NAME:
                self.asked.append(name)
            address = socket.inet_aton(FRONT if name == OUTER_NAME else TRAP)
            answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + address
            found = kind == _A_RECORD
            head = question[:2] + (_ONE_ANSWER if found else _NO_ANSWER)
            names.sendto(head + question[12:end] + (answer if found else b""), sender)

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = self._start(serve, client)
            if serve == self._trap:
                self._callers.append(thread)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as registry:
            back = threading.Thread(target=_copy, args=(registry, client), daemon=True)
            back.start()
            _copy(client, registry)
            back.join()

    def _front(self, client: socket.socket) -> None:
        with suppress(OSError):
            self._pass_on(self._authority.as_host(client)[0])

    def _trap(self, client: socket.socket) -> None:
        """Take in whoever calls, note what it says, and answer that there is nothing."""
        client.settimeout(_TIMEOUT_S)
        name = "a host without TLS"
        try:
            if client.getsockname()[1] == 443:
                client, name = self._authority.as_host(client)
            with client:
                said = client.recv(_PIECE).decode("latin-1")
                if said:
                    self._caught.append(f"{name}: {said}")
                    client.sendall(_NOTHING)
        except (ssl.SSLEOFError, ConnectionError):
            pass  # it left before it said anything
        except OSError as error:
            self._caught.append(f"{name}: {error!r}")


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ssl.SSLError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
