"""What a bad disk or memory does to a file: a byte is another one, or a run of bytes is zero."""

from typing import NamedTuple

from hypothesis import strategies as st

RUN_BYTES = 64


class Damage(NamedTuple):
    """mask: of the byte that is changed; 0 for a run that begins there and is zeroed."""

    at: int
    mask: int

    def done_to(self, content: bytes) -> bytes:
        damaged = bytearray(content)
        if self.mask:
            damaged[self.at] ^= self.mask
        else:
            run = damaged[self.at : self.at + RUN_BYTES]
            damaged[self.at : self.at + RUN_BYTES] = bytes(len(run))
        return bytes(damaged)


def damages(content: bytes) -> st.SearchStrategy[Damage]:
    """Mostly of what is not zero: most of a small SQLite file is free."""
    used = [at for at, byte in enumerate(content) if byte]
    flips = st.builds(Damage, st.sampled_from(used), st.integers(1, 255))
    runs = st.builds(Damage, st.sampled_from(used).map(lambda at: at - at % RUN_BYTES), st.just(0))
    free = st.builds(Damage, st.integers(0, len(content) - 1), st.integers(1, 255))
    return st.one_of(flips, flips, flips, flips, runs, free)
