"""READMEs are blobs: an event holds their digest only."""

from packledger.eventstore.blobs.store import BlobStore


def store_readme(blobs: BlobStore, readme: bytes | None) -> str:
    """Store a README and return its digest, empty when there is none."""
    return blobs.put(readme) if readme else ""
