"""Gzip files with dynamic Huffman codes of one's own: whole, incomplete or over-subscribed.

Source: https://www.rfc-editor.org/rfc/rfc1951
"""

import struct
import zlib
from random import Random

END, LENGTHS, DISTANCES = 256, range(257, 286), range(30)
_LENGTH_OF = {
    **{257 + number: 3 + number for number in range(8)},
    **{
        265 + 4 * group + part: 3 + (4 + part << group + 1)
        for group in range(5)
        for part in range(4)
    },
    285: 258,
}
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)

Codes = dict[int, tuple[int, int]]
"""The code and its length of each symbol."""


class Bits:
    """Bits as DEFLATE packs them."""

    def __init__(self) -> None:
        self._value = self._size = 0

    def put(self, value: int, size: int) -> None:
        """Add a number, its lowest bit first."""
        self._value |= value << self._size
        self._size += size

    def put_code(self, code: int, size: int) -> None:
        """Add a Huffman code, its highest bit first."""
        self.put(int(f"{code:0{size}b}"[::-1], 2), size)

    def __bytes__(self) -> bytes:
        return self._value.to_bytes((self._size + 7) // 8, "little")


def codes_of(lengths: list[int]) -> Codes:
    """Return the codes of the symbol, over-subscribed codes cut to their length."""
    codes, code, last = {}, 0, 0
    for length, symbol in sorted((length, at) for at, length in enumerate(lengths) if length):
        code <<= length - last
        codes[symbol] = (code & ((1 << length) - 1), length)
        code, last = code + 1, length
    return codes


def lengths_of(random: Random, symbols: list[int], size: int) -> list[int]:
    """Return code lengths that make a whole code of the symbols, one of them maybe changed."""
    depths = [0] if len(symbols) > 1 else [1] * len(symbols)
    while len(depths) < len(symbols):
        depth = depths.pop(random.randrange(len(depths)))
        depths += [depth + 1, depth + 1]
    random.shuffle(depths)
    lengths = [0] * size
    for symbol, depth in zip(symbols, depths, strict=True):
        lengths[symbol] = depth
    if symbols and random.random() < 0.3:
        changed = random.choice(symbols)
        lengths[changed] = min(15, max(1, lengths[changed] + random.choice((-1, 1))))
    return lengths


def _odd(random: Random, most: int) -> int:
    """Return how many symbols a code has, seldom more than there are."""
    return most + (random.randrange(3) if random.random() < 0.1 else 0)


def odd_gzip(random: Random) -> bytes:
    """Return a gzip file whose length and checksum are right, if anything can be inflated of it."""
    literals = random.sample(range(256), random.randrange(1, 12))
    repeats = random.sample(LENGTHS, random.randrange(4))
    ends = [END] * (random.random() < 0.95)
    far = random.sample(DISTANCES[:6] if random.random() < 0.8 else DISTANCES, random.randrange(4))
    of_text = lengths_of(random, [*literals, *ends, *repeats], _odd(random, 286))
    of_distances = lengths_of(random, far, _odd(random, 30))
    bits = Bits()
    bits.put(0b101, 3)  # the last block, of dynamic codes
    for number, size in ((len(of_text) - 257, 5), (len(of_distances) - 1, 5), (15, 4)):
        bits.put(number, size)
    of_lengths = [4] * 16 + [0] * 3
    if random.random() < 0.1:
        of_lengths[15] = random.choice((0, 3, 5))
    for symbol in _ORDER:
        bits.put(of_lengths[symbol], 3)
    codes = codes_of(of_lengths)
    for length in (*of_text, *of_distances):
        bits.put_code(*codes.get(length, (0, 1)))
    text = _put_text(random, bits, codes_of(of_text), codes_of(of_distances))
    trailer = struct.pack("<II", zlib.crc32(text), len(text))
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + bytes(bits) + trailer


def _put_text(random: Random, bits: Bits, of_text: Codes, of_distances: Codes) -> bytes:
    """Add random symbols and their end; return what they mean."""
    text = bytearray()
    plain = [symbol for symbol in of_text if symbol != END]
    for symbol in random.choices(plain, k=random.randrange(40)):
        if symbol < END:
            bits.put_code(*of_text[symbol])
            text.append(symbol)
        elif of_distances and symbol in LENGTHS:
            bits.put_code(*of_text[symbol])
            extra_bits = 0 if symbol < 265 or symbol == 285 else (symbol - 261) // 4
            bits.put(0, extra_bits)
            distance = random.choice(list(of_distances))
            bits.put_code(*of_distances[distance])
            far_bits = max(0, distance // 2 - 1)
            bits.put(0, far_bits)
            length, far = _LENGTH_OF[symbol], (2 + distance % 2 << far_bits) + 1
            far = distance + 1 if distance < 4 else far
            for _ in range(length if far <= len(text) else 0):
                text.append(text[-far])
    if random.random() < 0.05:
        bits.put(random.randrange(1 << 9), 9)
    if END in of_text:
        bits.put_code(*of_text[END])
    return bytes(text)
