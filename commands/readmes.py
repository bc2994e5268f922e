"""READMEs are blobs, of which an event holds the digest only; what is kept is for display."""

import codecs

from packledger.commands.archives.tar_reader import TarEntry
from packledger.eventstore.blobs.store import BlobStore, BlobWriter

MAX_README_BYTES = 64 << 10
"""What is kept of one; the public npm registry keeps as much."""


def read_readme(entry: TarEntry) -> bytes:
    """Return the start of a file in an archive as valid UTF-8, at most `MAX_README_BYTES` of it."""
    return readme_text(entry.read(MAX_README_BYTES), entry.size)


def readme_text(start: bytes, size_bytes: int) -> bytes:
    """Return the start of a text as valid UTF-8, a character that is cut in two left out.

    size_bytes: of the whole text, whose bad bytes are replaced.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    encoded = decoder.decode(start, final=len(start) == size_bytes).encode()
    if len(encoded) > MAX_README_BYTES:  # replacement characters are longer than what they replace
        encoded = encoded[:MAX_README_BYTES].decode(errors="ignore").encode()
    return encoded


def commit_with_readme(
    blobs: BlobStore, writer: BlobWriter, readme: bytes | None
) -> tuple[str, str]:
    """Store an archive and its README; return their digests, the second empty for none.

    Raises:
        Unavailable: one of them could not be stored.
    """
    return blobs.commit_with(writer, readme) if readme else (writer.commit(), "")
