"""A crate: what its events add up to, and what may happen to it.

`evolve` folds an event into the state and trusts it; `decide_*` take a state and a wish and return
the events, or raise. Neither does I/O.
"""

from collections.abc import Sequence

import msgspec

from packledger.domain.accounts.actor import Actor
from packledger.domain.errors import (
    NameTaken,
    NoSuchPackage,
    NoSuchVersion,
    VersionExists,
    VersionPurged,
)
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import (
    CrateEvent,
    CrateOwnerAdded,
    CrateOwnerRemoved,
    CrateRegistered,
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
)
from packledger.domain.ownership import check_owner, owners_to_add, owners_to_remove
from packledger.domain.versions import without_build


class CrateVersion(msgspec.Struct, frozen=True, array_like=True):
    """What deciding needs of a published version."""

    version: str
    cksum: str
    yanked: bool = False


class Crate(msgspec.Struct):
    """A crate's thin state.

    versions: keyed without build metadata, since that is unique; purged: versions whose bytes are
    removed for good, by their exact text, to the reason.
    """

    name: str
    owners: dict[str, None]
    versions: dict[str, CrateVersion]
    purged: dict[str, str] = {}

    def copy(self) -> "Crate":
        """Return a copy that `evolve` may change."""
        return Crate(self.name, dict(self.owners), dict(self.versions), dict(self.purged))

    def find(self, version: str) -> CrateVersion:
        """Return a published version, by its exact text.

        Raises:
            NoSuchVersion: it was never published.
        """
        found = self.versions.get(without_build(version))
        if found is None or found.version != version:
            raise NoSuchVersion(self.name, version)
        return found


def evolve(crate: Crate | None, event: CrateEvent) -> Crate:
    """Fold one event of a crate's stream into its state, in place."""
    if isinstance(event, CrateRegistered):
        return Crate(event.name, {event.owner: None}, {})
    assert crate is not None, "a crate's stream begins with crate.registered"
    match event:
        case CrateVersionPublished(version=version):
            crate.versions[without_build(version)] = CrateVersion(version, event.cksum)
        case CrateVersionYanked(version=version) | CrateVersionUnyanked(version=version):
            key = without_build(version)
            crate.versions[key] = msgspec.structs.replace(
                crate.versions[key], yanked=isinstance(event, CrateVersionYanked)
            )
        case BlobPurged(version=version, reason=reason):
            crate.purged[version] = reason
        case CrateOwnerAdded(owner=owner):
            crate.owners[owner] = None
        case CrateOwnerRemoved(owner=owner):
            crate.owners.pop(owner)
        case _:
            raise TypeError(f"{type(event).__name__} is no event of a crate")
    return crate


def check_publish(crate: Crate | None, actor: Actor, name: str, version: str) -> None:
    """Refuse a publish that the state forbids, before any upload is read.

    Raises:
        NameTaken: the crate exists under another spelling.
        NotOwner: the actor may not publish it.
        VersionExists: the version is there, build metadata aside.
    """
    if crate is None:
        return
    if crate.name != name:
        raise NameTaken(name, crate.name)
    check_owner(crate.owners, actor, name)
    existing = crate.versions.get(without_build(version))
    if existing is not None:
        raise VersionExists(name, version, existing.version)


def decide_publish(
    crate: Crate | None, actor: Actor, published: CrateVersionPublished
) -> list[CrateEvent]:
    """Return the events of publishing one version, the crate's registration first if it is new.

    Raises:
        NameTaken, NotOwner, VersionExists: as `check_publish`.
    """
    check_publish(crate, actor, published.name, published.version)
    if crate is not None:
        return [published]
    registered = CrateRegistered(**actor.stamp(), name=published.name, owner=actor.by)
    return [registered, published]


def decide_yank(
    crate: Crate | None, actor: Actor, name: str, version: str, yanked: bool
) -> list[CrateEvent]:
    """Return the event that yanks or unyanks a version; none when it is so already.

    Raises:
        NoSuchPackage, NoSuchVersion: there is nothing to yank.
        NotOwner: the actor may not.
        VersionPurged: nobody could download what is unyanked.
    """
    crate = existing(crate, name)
    check_owner(crate.owners, actor, name)
    if crate.find(version).yanked is yanked:
        return []
    if version in crate.purged:
        raise VersionPurged(name, version, crate.purged[version])
    kind = CrateVersionYanked if yanked else CrateVersionUnyanked
    return [kind(**actor.stamp(), name=name, version=version)]


def decide_owners(
    crate: Crate | None,
    actor: Actor,
    name: str,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> list[CrateEvent]:
    """Return the events that add and remove owners; accounts in `add` are known to exist.

    Raises:
        NoSuchPackage: no such crate.
        NotOwner: the actor may not.
        NoSuchOwner: one to remove is no owner.
        LastOwner: nobody would remain.
    """
    crate = existing(crate, name)
    check_owner(crate.owners, actor, name)
    joining = owners_to_add(crate.owners, add)
    leaving = owners_to_remove([*crate.owners, *joining], remove, name)
    stamp = actor.stamp()
    return [
        *(CrateOwnerAdded(**stamp, name=name, owner=owner) for owner in joining),
        *(CrateOwnerRemoved(**stamp, name=name, owner=owner) for owner in leaving),
    ]


def existing(crate: Crate | None, name: str) -> Crate:
    """Return the crate if it exists under exactly this name.

    Raises:
        NoSuchPackage: it does not.
    """
    if crate is None or crate.name != name:
        raise NoSuchPackage(name)
    return crate
