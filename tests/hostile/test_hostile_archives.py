"""Archives that would fill a disk or memory, or unpack where they should not, are refused."""

import gzip
import json
import random
import struct
import tarfile
import threading
import time
import zlib
from collections.abc import Callable

import httpx
import pytest

from process_tree import wait_until
from raw_http import Answer, request
from target import Target, assert_own_format
from uploads import crate_body, npm_body

MIB = 1024 * 1024
LIMIT_S = 10
MEMORY_BYTES = 100 * MIB
"""What one refused upload may cost, for all processes together."""


def deflated(data: bytes, flush: int = zlib.Z_FULL_FLUSH) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush(flush)


def endless(start: bytes, size_mib: int = 540) -> bytes:
    """A gzip of `start` and so many MiB of zeros, made of one that is repeated."""
    one = bytes(MIB)
    crc = zlib.crc32(start)
    for _ in range(size_mib):
        crc = zlib.crc32(one, crc)
    length = len(start) + size_mib * MIB
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    body = deflated(start) + deflated(one) * size_mib + deflated(b"", zlib.Z_FINISH)
    return head + body + struct.pack("<II", crc, length)


def bomb(path: str) -> bytes:
    """A gzipped tar of one file of 539 MiB of zeros, and its end."""
    made = tarfile.TarInfo(path)
    made.size = 539 * MIB
    return endless(made.tobuf(tarfile.USTAR_FORMAT))


def tar(*entries: tuple[tarfile.TarInfo, bytes], level: int = 1) -> bytes:
    pieces: list[bytes] = []
    before = None
    for member, content in entries:
        if member is before:  # one of very many
            pieces.append(pieces[-1])
        else:
            member.size = len(content)
            pieces.append(member.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512))
        before = member
    return gzip.compress(b"".join([*pieces, bytes(1024)]), level, mtime=0)


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.pax_headers = kind, link, pax
    return made


CARGO_TOML = b'[package]\nname = "bad"\nversion = "1.0.0"\nedition = "2021"\n'
PACKAGE_JSON = json.dumps({"name": "bad", "version": "1.0.0"}).encode()


def hostile_members(folder: str) -> dict[str, list[tuple[tarfile.TarInfo, bytes]]]:
    """What may not be in an archive, by what it is."""
    return {
        "a symbolic link": [(entry(f"{folder}/x", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        "a hard link": [(entry(f"{folder}/x", tarfile.LNKTYPE, f"{folder}/y"), b"")],
        "a device": [(entry(f"{folder}/x", tarfile.CHRTYPE), b"")],
        "a pipe": [(entry(f"{folder}/x", tarfile.FIFOTYPE), b"")],
        "a way out": [(entry(f"{folder}/../../etc/cron.d/x"), b"x")],
        "a way out by pax": [(entry(f"{folder}/x", path="../../etc/cron.d/x"), b"x")],
        "an absolute path": [(entry("/etc/cron.d/x"), b"x")],
        "a backslash": [(entry(f"{folder}\\..\\..\\x"), b"x")],
        "a huge pax header": [(entry(f"{folder}/x", comment="c" * (3 * MIB)), b"x")],
        "a huge path": [(entry(f"{folder}/" + "p" * 100_000), b"x")],
        "a pax size that lies": [(entry(f"{folder}/x", size=str(2**62)), b"x")],
        "many members": [(entry(f"{folder}/x/", tarfile.DIRTYPE), b"")] * 100_100,
        "two manifests": [
            (entry(f"{folder}/Cargo.toml"), CARGO_TOML + b"#"),
            (entry(f"{folder}/package.json"), PACKAGE_JSON + b" "),
        ],
    }


def hostile_crates() -> dict[str, Callable[[], bytes]]:
    start = (entry("bad-1.0.0/Cargo.toml"), CARGO_TOML)
    bodies: dict[str, Callable[[], bytes]] = {
        what: lambda members=members: tar(start, *members)  # type: ignore[misc]
        for what, members in hostile_members("bad-1.0.0").items()
    }
    return bodies | {
        "a bomb": lambda: bomb("bad-1.0.0/x"),
        "a bomb as manifest": lambda: bomb("bad-1.0.0/Cargo.toml"),
        "nothing": lambda: b"",
        "no gzip": lambda: b"PK\x03\x04" + bytes(1000),
        "a bomb in a bomb": lambda: gzip.compress(bomb("bad-1.0.0/x")),
    }


CRATES = hostile_crates()
PACKAGES = {
    **{
        what: lambda members=members: tar((entry("package/package.json"), PACKAGE_JSON), *members)  # type: ignore[misc]
        for what, members in hostile_members("package").items()
    },
    "a bomb": lambda: bomb("package/x"),
    "a bomb as manifest": lambda: bomb("package/package.json"),
    "nothing": lambda: b"",
    "no gzip": lambda: b"PK\x03\x04" + bytes(1000),
    "a bomb in a bomb": lambda: gzip.compress(bomb("package/x")),
}


class Watch:
    """The most memory that a registry takes within the block, beside what it took before."""

    def __init__(self, target: Target) -> None:
        self._target, self._end = target, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.before_bytes = self.most_bytes = target.memory_bytes()

    @property
    def rise_bytes(self) -> int:
        return self.most_bytes - self.before_bytes

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.05):
            self.most_bytes = max(self.most_bytes, self._target.memory_bytes())


def refused(
    target: Target, method: str, path: str, head: list[tuple[bytes, bytes]], body: bytes
) -> Answer:
    """Send what must be refused: soon, in bounded memory, in the client's words, with no trace."""
    head = [(b"Authorization", b"Bearer " + target.tokens["alice"].encode()), *head]
    began_s = time.monotonic()
    with Watch(target) as watch:
        answer = target.ask(request(method, path.encode(), head, body))
    assert answer is not None
    assert answer.status in {400, 413}, answer
    assert time.monotonic() - began_s < LIMIT_S
    assert watch.rise_bytes < MEMORY_BYTES
    assert_own_format(path, answer)
    wait_until(lambda: not target.uploads(), "no upload is left behind")
    return answer


@pytest.mark.parametrize("packed", CRATES.values(), ids=CRATES)
def test_a_hostile_crate_is_refused(target: Target, packed: Callable[[], bytes]) -> None:
    body = crate_body({"name": "bad", "vers": "1.0.0"}, packed())
    refused(target, "PUT", "/cargo/api/v1/crates/new", [], body)


@pytest.mark.parametrize("packed", PACKAGES.values(), ids=PACKAGES)
def test_a_hostile_tarball_is_refused(target: Target, packed: Callable[[], bytes]) -> None:
    body = npm_body({"name": "bad", "version": "1.0.0"}, packed())
    refused(target, "PUT", "/npm/bad", [], json.dumps(body).encode())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/npm/bad"),
        ("PUT", "/npm/victim/-rev/2-0"),
        ("PUT", "/cargo/api/v1/crates/new"),
        ("PUT", "/cargo/api/v1/crates/victim/owners"),
        ("PUT", "/npm/-/user/org.couchdb.user:alice"),
        ("POST", "/npm/-/npm/v1/tokens"),
        ("POST", "/npm/-/npm/v1/security/advisories/bulk"),
    ],
)
def test_a_body_that_unpacks_without_end_is_refused(target: Target, method: str, path: str) -> None:
    start = b'{"a":"' if path.startswith("/npm") else struct.pack("<I", 1000)
    refused(target, method, path, [(b"Content-Encoding", b"gzip")], endless(start))


def big_publish(number: int) -> bytes:
    manifest = {"name": f"big-{number}", "version": "1.0.0"}
    packed = tar(
        (entry("package/package.json"), json.dumps(manifest).encode()),
        (entry("package/noise"), random.Random(number).randbytes(50 * MIB)),
        level=0,
    )
    return json.dumps(npm_body(manifest, packed)).encode()


def test_four_large_publishes_at_once_take_bounded_memory(target: Target) -> None:
    """And give it back: what allocators keep is no more than a worker's own size."""
    bodies = [big_publish(number) for number in range(4)]
    statuses: list[int] = []

    def publish(number: int) -> None:
        with httpx.Client(base_url=target.direct, timeout=120) as http:
            answer = http.put(f"/npm/big-{number}", content=bodies[number], headers=target.token())
            statuses.append(answer.status_code)

    with Watch(target) as watch:
        threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [201] * 4
    assert watch.rise_bytes <= 400_000_000
    wait_until(lambda: target.memory_bytes() - watch.before_bytes < 40 * MIB, "it comes back", 10)
