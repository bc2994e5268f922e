"""What the worst archives cost, in processor time: in proportion to their size, and not more."""

import gzip
import io
import time
from collections.abc import Callable

import pytest

from odd_archives import Member, record
from packledger.commands.npm.archive import read_npm_archive
from packledger.domain.errors import RegistryError

END = bytes(1024)
MANIFEST = bytes(Member(b"package/package.json", b"{}"))
RECORDS = b"".join(record(b"NODETAR.%d" % number, b"x") for number in range(1_000))


def files(number: int) -> bytes:
    return bytes(Member(b"package/%d" % number))


def folders(number: int) -> bytes:
    return bytes(Member(b"package/%d/" % number, kind=b"5"))


def extended(number: int) -> bytes:
    return bytes(Member(b"x", record(b"uid", b"1"), b"x")) + files(number)


def records(number: int) -> bytes:
    return bytes(Member(b"x", RECORDS, b"x")) + files(number) if number % 100 == 0 else b""


def doubles(number: int) -> bytes:
    return files(number % 100)


def cost_s(one: Callable[[int], bytes], count: int) -> float:
    packed = gzip.compress(MANIFEST + b"".join(map(one, range(count))) + END, 1)
    best_s = 60.0
    for _ in range(2):
        started_s = time.thread_time()
        read_npm_archive(io.BytesIO(packed), 1 << 30)
        best_s = min(best_s, time.thread_time() - started_s)
    return best_s


@pytest.mark.parametrize("one", [files, folders, extended, records, doubles])
def test_twice_the_archive_costs_twice(one: Callable[[int], bytes]) -> None:
    assert cost_s(one, 8_000) < 4 * cost_s(one, 4_000)


@pytest.mark.parametrize("one", [files, records])
def test_the_largest_archive_costs_seconds(one: Callable[[int], bytes]) -> None:
    tar = MANIFEST + b"".join(map(one, range(110_000))) + END
    started_s = time.thread_time()
    with pytest.raises(RegistryError, match=r"100000|1000000"):
        read_npm_archive(io.BytesIO(gzip.compress(tar, 1)), 1 << 30)
    assert time.thread_time() - started_s < 20
