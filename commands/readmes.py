"""READMEs are blobs: an event holds their digest only."""

from packledger.eventstore.blobs import BlobStore


def store_readme(blobs: BlobStore, readme: bytes | None) -> str:
    """Store a README and return its digest, empty when there is none."""
    if not readme:
        return ""
    writer = blobs.writer()
    try:
        writer.write(readme)
        return writer.commit()
    finally:
        writer.discard()
