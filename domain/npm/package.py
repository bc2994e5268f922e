"""An npm package: what its events add up to, and what may happen to it.

`evolve` folds an event into the state and trusts it; `decide_*` take a state and a wish and return
the events, or raise. Neither does I/O.
"""

from collections.abc import Mapping, Sequence

import msgspec

from packledger.domain.accounts.actor import Actor
from packledger.domain.errors import (
    Invalid,
    NameTaken,
    NoSuchPackage,
    NoSuchVersion,
    NotFound,
    VersionExists,
    VersionUnpublished,
)
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.npm import (
    NpmDistTagRemoved,
    NpmDistTagSet,
    NpmEvent,
    NpmOwnerAdded,
    NpmOwnerRemoved,
    NpmRegistered,
    NpmSignature,
    NpmStarred,
    NpmUnpublished,
    NpmUnstarred,
    NpmVersionDeprecated,
    NpmVersionPublished,
    NpmVersionSigned,
    NpmVersionUndeprecated,
    NpmVersionUnpublished,
)
from packledger.domain.npm.versions import npm_version_key
from packledger.domain.ownership import check_owner, owners_to_add, owners_to_remove
from packledger.domain.versions import standing, without_build

LATEST = "latest"


class NpmVersion(msgspec.Struct, frozen=True, array_like=True):
    """What deciding needs of a published version.

    tarball: SHA-256 hex; shasum: SHA-1 hex; deprecated: the message, empty for none.
    """

    version: str
    tarball: str
    shasum: str
    deprecated: str = ""
    signed: bool = False


class NpmPackage(msgspec.Struct):
    """A package's thin state.

    versions: keyed as `npm_version_key` says; events written before that was the rule may hold
    build metadata, which their exact texts keep; removed: the same keys of unpublished versions,
    to their exact texts, never to be used again; purged: exact texts of versions whose bytes are
    removed for good, to the reason.
    """

    name: str
    owners: dict[str, None]
    versions: dict[str, NpmVersion]
    dist_tags: dict[str, str]
    removed: dict[str, str]
    stars: dict[str, None]
    purged: dict[str, str] = {}

    def copy(self) -> "NpmPackage":
        """Return a copy that `evolve` may change."""
        return NpmPackage(
            self.name,
            dict(self.owners),
            dict(self.versions),
            dict(self.dist_tags),
            dict(self.removed),
            dict(self.stars),
            dict(self.purged),
        )

    def find(self, version: str) -> NpmVersion:
        """Return a published version, by any text that npm cleans to it.

        Raises:
            NoSuchVersion: it is not there.
        """
        found = self.versions.get(npm_version_key(version))
        if found is None:
            raise NoSuchVersion(self.name, version)
        return found


def evolve(package: NpmPackage | None, event: NpmEvent) -> NpmPackage:  # noqa: C901, PLR0912, PLR0915
    """Fold one event of a package's stream into its state, in place."""
    if isinstance(event, NpmRegistered):
        return NpmPackage(event.name, {event.owner: None}, {}, {}, {}, {})
    assert package is not None, "a package's stream begins with npm.registered"
    match event:
        case NpmVersionPublished(version=version):
            package.versions[without_build(version)] = NpmVersion(
                version, event.tarball, event.shasum, signed=bool(event.signatures)
            )
        case NpmVersionSigned(version=version):
            key = without_build(version)
            package.versions[key] = msgspec.structs.replace(package.versions[key], signed=True)
        case BlobPurged(version=version, reason=reason):
            package.purged[version] = reason
        case NpmVersionUnpublished(version=version):
            package.removed[without_build(version)] = version
            package.versions.pop(without_build(version))
        case NpmUnpublished():
            package.removed.update((key, known.version) for key, known in package.versions.items())
            package.versions.clear()
            package.dist_tags.clear()
        case NpmDistTagSet(dist_tag=tag, version=version):
            package.dist_tags[tag] = version
        case NpmDistTagRemoved(dist_tag=tag):
            package.dist_tags.pop(tag)
        case NpmVersionDeprecated(version=version, message=message):
            _set_deprecated(package, version, message)
        case NpmVersionUndeprecated(version=version):
            _set_deprecated(package, version, "")
        case NpmOwnerAdded(owner=owner):
            package.owners[owner] = None
        case NpmOwnerRemoved(owner=owner):
            package.owners.pop(owner)
        case NpmStarred(by=account):
            package.stars[account] = None
        case NpmUnstarred(by=account):
            package.stars.pop(account)
        case _:
            raise TypeError(f"{type(event).__name__} is no event of an npm package")
    return package


def _set_deprecated(package: NpmPackage, version: str, message: str) -> None:
    key = without_build(version)
    package.versions[key] = msgspec.structs.replace(package.versions[key], deprecated=message)


def check_publish(package: NpmPackage | None, actor: Actor, name: str, version: str) -> None:
    """Refuse a publish that the state forbids, before the tarball is read.

    Raises:
        NameTaken: the package exists under another spelling.
        NotOwner: the actor may not publish it.
        VersionExists, VersionUnpublished: the version is used, build metadata aside.
    """
    if package is None:
        return
    if package.name != name:
        raise NameTaken(name, package.name)
    check_owner(package.owners, actor, name)
    key = npm_version_key(version)
    if key in package.versions:
        raise VersionExists(name, version, package.versions[key].version)
    if key in package.removed:
        raise VersionUnpublished(name, version)


def decide_publish(
    package: NpmPackage | None, actor: Actor, published: NpmVersionPublished, tags: Sequence[str]
) -> list[NpmEvent]:
    """Return the events of publishing one version under dist-tags.

    A package without a `latest` gets one, whatever tag was asked for, as on the public registry:
    otherwise `npm install NAME` would find nothing.

    Raises:
        NameTaken, NotOwner, VersionExists, VersionUnpublished: as `check_publish`.
    """
    name, version = published.name, published.version
    check_publish(package, actor, name, version)
    stamp = actor.stamp()
    events: list[NpmEvent] = []
    if package is None:
        events.append(NpmRegistered(**stamp, name=name, owner=actor.by))
    maintainers = tuple(package.owners) if package else (actor.by,)
    events.append(msgspec.structs.replace(published, maintainers=maintainers))
    wanted = list(dict.fromkeys(tags))
    if LATEST not in wanted and LATEST not in (package.dist_tags if package else {}):
        wanted.append(LATEST)
    events += [NpmDistTagSet(**stamp, name=name, dist_tag=tag, version=version) for tag in wanted]
    return events


def decide_unpublish(
    package: NpmPackage | None, actor: Actor, name: str, versions: Sequence[str]
) -> list[NpmEvent]:
    """Return the events of removing versions, their dist-tags included.

    `latest` moves to the highest version that remains. Removing the last version removes the
    package.

    Raises:
        NoSuchPackage, NoSuchVersion: there is nothing to remove.
        NotOwner: the actor may not.
    """
    package = existing(package, name)
    check_owner(package.owners, actor, name)
    leaving = {package.find(version).version for version in versions}
    if not leaving:
        return []
    stamp = actor.stamp()
    staying = [known.version for known in package.versions.values() if known.version not in leaving]
    if not staying:
        return [NpmUnpublished(**stamp, name=name)]
    events: list[NpmEvent] = []
    for tag, version in package.dist_tags.items():
        if version in leaving and tag == LATEST:
            target = highest(staying)
            events.append(NpmDistTagSet(**stamp, name=name, dist_tag=tag, version=target))
        elif version in leaving:
            events.append(NpmDistTagRemoved(**stamp, name=name, dist_tag=tag))
    removed = [known.version for known in package.versions.values() if known.version in leaving]
    events += [NpmVersionUnpublished(**stamp, name=name, version=version) for version in removed]
    return events


def decide_unpublish_all(package: NpmPackage | None, actor: Actor, name: str) -> list[NpmEvent]:
    """Return the event of removing the whole package.

    Raises:
        NoSuchPackage: there is nothing to remove.
        NotOwner: the actor may not.
    """
    package = existing(package, name)
    check_owner(package.owners, actor, name)
    return [NpmUnpublished(**actor.stamp(), name=name)]


def decide_set_tag(
    package: NpmPackage | None, actor: Actor, name: str, tag: str, version: str
) -> list[NpmEvent]:
    """Return the event that points a dist-tag to a version; none when it does already.

    Raises:
        NoSuchPackage, NoSuchVersion: there is nothing to point to.
        NotOwner: the actor may not.
    """
    package = existing(package, name)
    check_owner(package.owners, actor, name)
    exact = package.find(version).version
    if package.dist_tags.get(tag) == exact:
        return []
    return [NpmDistTagSet(**actor.stamp(), name=name, dist_tag=tag, version=exact)]


def decide_remove_tag(
    package: NpmPackage | None, actor: Actor, name: str, tag: str
) -> list[NpmEvent]:
    """Return the event that removes a dist-tag.

    Raises:
        NoSuchPackage, NotFound: no such package or tag.
        NotOwner: the actor may not.
        Invalid: `latest` stays: without it `npm install NAME` finds nothing.
    """
    package = existing(package, name)
    check_owner(package.owners, actor, name)
    if tag not in package.dist_tags:
        raise NotFound(f"`{name}` has no dist-tag `{tag}`")
    if tag == LATEST:
        raise Invalid(
            f"the dist-tag `latest` of `{name}` cannot be removed; point it to another version"
        )
    return [NpmDistTagRemoved(**actor.stamp(), name=name, dist_tag=tag)]


def decide_deprecate(
    package: NpmPackage | None, actor: Actor, name: str, messages: Mapping[str, str]
) -> list[NpmEvent]:
    """Return the events that set messages (version → text, empty to take one back).

    Raises:
        NoSuchPackage, NoSuchVersion: there is nothing to deprecate.
        NotOwner: the actor may not.
    """
    package = existing(package, name)
    check_owner(package.owners, actor, name)
    stamp = actor.stamp()
    events: list[NpmEvent] = []
    for text, message in messages.items():
        known = package.find(text)
        version = known.version
        if known.deprecated == message:
            continue
        if message:
            event = NpmVersionDeprecated(**stamp, name=name, version=version, message=message)
            events.append(event)
        else:
            events.append(NpmVersionUndeprecated(**stamp, name=name, version=version))
    return events


def decide_sign(
    package: NpmPackage | None, actor: Actor, signatures: Mapping[str, NpmSignature]
) -> list[NpmEvent]:
    """Return the events that sign versions which are there and have no signature yet."""
    if package is None:
        return []
    return [
        NpmVersionSigned(
            **actor.stamp(), name=package.name, version=known.version, signature=signature
        )
        for version, signature in signatures.items()
        if (known := package.versions.get(without_build(version)))
        and known.version == version
        and not known.signed
    ]


def decide_owners(
    package: NpmPackage | None, actor: Actor, name: str, owners: Sequence[str]
) -> list[NpmEvent]:
    """Return the events that make `owners` the package's owners; the accounts are known to exist.

    Raises:
        NoSuchPackage: no such package.
        NotOwner: the actor may not.
        LastOwner: the list is empty.
    """
    package = existing(package, name)
    check_owner(package.owners, actor, name)
    joining = owners_to_add(package.owners, owners)
    unwanted = [owner for owner in package.owners if owner not in owners]
    leaving = owners_to_remove([*package.owners, *joining], unwanted, name)
    stamp = actor.stamp()
    return [
        *(NpmOwnerAdded(**stamp, name=name, owner=owner) for owner in joining),
        *(NpmOwnerRemoved(**stamp, name=name, owner=owner) for owner in leaving),
    ]


def decide_star(
    package: NpmPackage | None, actor: Actor, name: str, starred: bool
) -> list[NpmEvent]:
    """Return the event that gives or takes back the actor's star; none when it is so already.

    Raises:
        NoSuchPackage: no such package.
    """
    package = existing(package, name)
    if (actor.by in package.stars) is starred:
        return []
    return [(NpmStarred if starred else NpmUnstarred)(**actor.stamp(), name=name)]


def existing(package: NpmPackage | None, name: str) -> NpmPackage:
    """Return the package if it exists under exactly this name and has versions.

    Raises:
        NoSuchPackage: it does not.
    """
    if package is None or package.name != name or not package.versions:
        raise NoSuchPackage(name)
    return package


def highest(versions: Sequence[str]) -> str:
    """Return the highest release of a non-empty list, or its highest prerelease without one."""
    return max(versions, key=standing)
