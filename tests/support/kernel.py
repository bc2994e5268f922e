"""What the kernel tells of a connection on loopback: instead of a pause that may be too short.

Source: https://docs.kernel.org/networking/proc_net_tcp.html
"""

import select
import socket
from pathlib import Path
from typing import NamedTuple

from process_tree import wait_until

_ESTABLISHED = "01"


class _Side(NamedTuple):
    """One side of a connection; inode `0` while, and since, no process has it."""

    state: str
    sending_bytes: int
    receiving_bytes: int
    inode: str


def is_taken(peer: socket.socket) -> bool:
    """Whether the server's process has accepted a connection and read all that was sent on it."""
    ours, its = _sides(peer)
    if ours is None or its is None:
        return False
    return not ours.sending_bytes and not its.receiving_bytes and its.inode != "0"


def wait_taken(peer: socket.socket) -> None:
    wait_until(lambda: is_taken(peer), "the server has read what was sent")


def wait_closed(peer: socket.socket) -> None:
    """Wait until the server has ended a connection, whose end need not have arrived here."""

    def is_closed() -> bool:
        its = _sides(peer)[1]
        return its is None or its.state != _ESTABLISHED

    wait_until(is_closed, "the server has closed the connection")


def has_hung_up(peer: socket.socket, within_s: float) -> bool:
    """Whether the server's end of a connection arrives here in this time."""
    poll = select.poll()
    poll.register(peer, select.POLLRDHUP)
    return bool(poll.poll(within_s * 1000))


def _sides(peer: socket.socket) -> tuple[_Side | None, _Side | None]:
    """Return what the kernel knows of our side and of the server's."""
    here, there = _kernels(peer.getsockname()), _kernels(peer.getpeername())
    sides: dict[tuple[str, str], _Side] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, _, _, _, _, inode, *_ = line.split()
        sending, receiving = (int(one, 16) for one in queues.split(":"))
        sides[local, remote] = _Side(state, sending, receiving, inode)
    return sides.get((here, there)), sides.get((there, here))


def _kernels(address: tuple[str, int]) -> str:
    host, port = address
    return f"{socket.inet_aton(host)[::-1].hex().upper()}:{port:04X}"
