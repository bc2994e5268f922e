"""What zlib-ng inflates is what zlib inflates, and what it refuses zlib refuses, too."""

import gzip
import io
import zlib
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from deflate_streams import odd_gzip
from odd_archives import PACKS
from packledger.commands.archives.gzip_stream import GzipStream
from packledger.domain.errors import Invalid

LIMIT = 4 << 20
PACKED = st.builds(
    lambda text, times, level, pack: (
        PACKS[pack](text * times) if level is None else gzip.compress(text * times, level)
    ),
    st.binary(max_size=2_000),
    st.sampled_from([1, 2, 50, 700]),
    st.sampled_from([None, 0, 1, 6, 9]),
    st.sampled_from(sorted(PACKS)),
)


def by_zlib(packed: bytes) -> bytes | None:
    """What the one member inflates to, None if it is not whole or more than zeros follow."""
    unpacker = zlib.decompressobj(31)
    try:
        text = unpacker.decompress(packed)
    except zlib.error:
        return None
    return text if unpacker.eof and not any(unpacker.unused_data) else None


def by_us(packed: bytes) -> bytes | None:
    try:
        return GzipStream(io.BytesIO(packed), LIMIT).up_to(LIMIT)
    except Invalid:
        return None


@given(PACKED)
def test_a_gzip_file_is_read_as_zlib_reads_it(packed: bytes) -> None:
    assert by_us(packed) == by_zlib(packed)


@given(PACKED, st.data())
def test_a_damaged_gzip_file_is_read_as_zlib_reads_it(packed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(packed)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        match data.draw(st.sampled_from(["flip", "cut", "drop", "add"])):
            case "flip" if at < len(damaged):
                damaged[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del damaged[at:]
            case "drop":
                del damaged[at : at + data.draw(st.integers(1, 9))]
            case _:
                damaged[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    assert by_us(bytes(damaged)) == by_zlib(bytes(damaged))


@settings(max_examples=1_000)
@given(st.integers(0, 2**32))
@example(3)
def test_huffman_codes_with_gaps_are_refused_where_zlib_refuses_them(seed: int) -> None:
    """Faster inflaters (ISA-L) take codes that are not whole; then npm could not unpack."""
    packed = odd_gzip(Random(seed))
    assert by_us(packed) == by_zlib(packed)


def test_odd_codes_are_of_every_kind() -> None:
    """Of the streams above, a good part is whole, and a good part is refused for its codes."""
    verdicts = [by_zlib(odd_gzip(Random(seed))) is None for seed in range(1_000)]
    assert 200 < sum(verdicts) < 900
