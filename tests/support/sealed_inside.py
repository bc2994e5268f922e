"""The inside of `sealed.Sealed`: opens its sockets, hands them out, and stays until told to go.

Run in a new network and mount namespace. What is mounted here nobody outside sees.
"""

import fcntl
import socket
import struct
import subprocess
import sys
from pathlib import Path

SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def main(channel_fd: int, folder: Path) -> None:
    """folder: files to be put over those of the machine, named by their paths with `_` for `/`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        loopback_up = struct.pack("16sh", b"lo", IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, loopback_up)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for source in folder.iterdir():
        target = Path(source.name.replace("_", "/"))
        if target.exists():
            subprocess.run(["mount", "--bind", str(source), str(target.resolve())], check=True)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.53", 53))
    opened = [names]
    for address in sys.argv[3:]:
        host, _, port = address.rpartition(":")
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen(64)
        opened.append(listener)
    channel = socket.socket(fileno=channel_fd)
    socket.send_fds(channel, [b"open"], [one.fileno() for one in opened])
    channel.recv(1)  # until the other side is closed


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
