"""Purging a version: first the event that says so, then its bytes are removed (ADR 0025).

Whoever dies in between repeats the command, or collects orphans: the blobs are nobody's by then.
"""

import time
from collections.abc import Callable

import msgspec

from packledger.audit.blob_references import BlobReferences
from packledger.audit.history import package_events
from packledger.commands.collecting import IN_FLIGHT_S
from packledger.commands.registry import Registry
from packledger.domain.accounts.actor import Actor
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import NoSuchPackage, NoSuchVersion
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.npm.versions import npm_version_key
from packledger.domain.purge import check_reason, decide_purge_crate, decide_purge_package
from packledger.domain.streams import CRATES, PACKAGES
from packledger.eventstore.blobs.store import MissingBlob

POLL_S = 2.0


class Purged(msgspec.Struct, frozen=True):
    """What a purge did. already: it was purged before; removed: digests whose bytes are gone.

    kept: digests whose bytes stay, each with a version that has the same ones.
    """

    version: str
    already: bool
    removed: list[str]
    kept: dict[str, str]


class Target(msgspec.Struct, frozen=True):
    """A version to purge. digest: of its file; readme: of its README, empty for none."""

    ecosystem: str
    name: str
    version: str
    digest: str
    readme: str

    @property
    def subject(self) -> str:
        """What it is called: `cargo:NAME@VERSION` or `npm:NAME@VERSION`."""
        return f"{self.ecosystem}:{self.name}@{self.version}"


def find_target(registry: Registry, ecosystem: str, name: str, version: str) -> Target:
    """Return a version that was published, whatever became of it.

    Raises:
        NoSuchPackage, NoSuchVersion: it never was.
    """
    events = [one.event for one in package_events(registry.log, ecosystem, name)]
    if getattr(events[0] if events else None, "name", None) != name:
        raise NoSuchPackage(name)
    for event in events:
        if isinstance(event, CrateVersionPublished) and event.version == version:
            return Target(CARGO, name, version, event.cksum, event.readme)
        if isinstance(event, NpmVersionPublished) and _is_npm_version(event.version, version):
            return Target(NPM, name, event.version, event.tarball, event.readme)
    raise NoSuchVersion(name, version)


def _is_npm_version(published: str, said: str) -> bool:
    return npm_version_key(published) == npm_version_key(said)


def purge(
    registry: Registry,
    references: BlobReferences,
    actor: Actor,
    target: Target,
    reason: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Purged:
    """Remove a version's bytes for good. references: read up to now.

    A README that was stored a moment ago is removed when no publish of the same one can still be
    on its way, which takes two minutes at most.

    Raises:
        RegistryError: nobody may, there is no such thing, or a store cannot be used.
    """
    readme_too = bool(target.readme) and not _others(references, target.readme, target)
    event = BlobPurged(
        **actor.stamp(),
        ecosystem=target.ecosystem,
        name=target.name,
        version=target.version,
        digest=target.digest,
        reason=check_reason(reason),
        readme=target.readme if readme_too else "",
    )
    new = _execute(registry, actor, event)
    removed, kept = [], {}
    # The file at once: nobody may publish another version with the same one.
    for digest, min_age_s in ((target.digest, 0.0), (target.readme, IN_FLIGHT_S)):
        if digest and _remove(registry, references, digest, min_age_s, sleep):
            removed.append(digest)
        elif digest:
            kept[digest] = _others(references, digest, target)[0]
    return Purged(target.subject, not new, removed, kept)


def _execute(registry: Registry, actor: Actor, event: BlobPurged) -> bool:
    if event.ecosystem == CARGO:
        return registry.execute(
            CRATES, event.name, lambda state, _: decide_purge_crate(state, actor, event)
        )
    return registry.execute(
        PACKAGES, event.name, lambda state, _: decide_purge_package(state, actor, event)
    )


def _others(references: BlobReferences, digest: str, target: Target) -> list[str]:
    """Return the other versions that need a blob."""
    named = references.of(digest)
    return [one.named_by for one in named if not one.purged and one.named_by != target.subject]


def _remove(
    registry: Registry,
    references: BlobReferences,
    digest: str,
    min_age_s: float,
    sleep: Callable[[float], None],
) -> bool:
    """Remove a blob, once it is that old; return whether it is gone: others may need it."""
    while True:
        references.catch_up()
        if references.needs(digest):
            return False
        if registry.blobs.remove(digest, min_age_s):
            return True
        try:
            registry.blobs.size_bytes(digest)
        except MissingBlob:
            return True
        sleep(POLL_S)
