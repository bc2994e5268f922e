"""The registry as plain dictionaries: what its commands should do, said a second time.

Nothing here comes from `packledger.domain` but the classes of refusals: an expectation is the class
that a command must raise, or None and the model has been changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from packledger.domain import errors

Refusal = type[errors.RegistryError] | None
ADMIN = "root"
RELEASES_LAST = {
    version: rank
    for rank, version in enumerate(
        [
            "0.1.0-rc.1",
            "1.0.0-0",
            "1.0.0-rc.1",
            "0.1.0",
            "1.0.0",
            "1.0.0+build.7",
            "1.2.0",
            "10.0.0",
        ]
    )
}
"""The versions in play, the one that stands for its package last: prereleases, then releases."""
VERSIONS = list(RELEASES_LAST)


def number(version: str) -> str:
    """What makes a version unique, and what npm calls it; a crate's keeps its build metadata."""
    return version.split("+")[0]


def canonical(crate: str) -> str:
    """What makes a crate's name unique."""
    return crate.lower().replace("-", "_")


def one_of(existing: Iterable[str], which: int) -> str:
    """One of the versions there are, seldom another one."""
    choices = [*existing] * 10 + VERSIONS
    return choices[which % len(choices)]


@dataclass
class Crate:
    name: str
    owners: list[str]
    yanked: dict[str, bool] = field(default_factory=dict)
    purged: list[str] = field(default_factory=list)


@dataclass
class Package:
    name: str
    owners: list[str]
    deprecated: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    stars: list[str] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    events: int = 0


class RegistryModel:
    def __init__(self, accounts: list[str]) -> None:
        self.accounts = accounts
        self.crates: dict[str, Crate] = {}
        self.packages: dict[str, Package] = {}

    def versions(self, ecosystem: str, name: str) -> list[str]:
        """Every version of a crate or package that was published."""
        if ecosystem == "cargo":
            crate = self.crates.get(canonical(name))
            return list(crate.yanked) if crate else []
        package = self.packages.get(name.lower())
        return [*package.deprecated, *package.removed] if package else []

    def publish_crate(self, by: str, name: str, version: str) -> Refusal:
        key = canonical(name)
        crate = self.crates.get(key)
        if crate is not None and crate.name != name:
            return errors.NameTaken
        if crate is not None and by not in [*crate.owners, ADMIN]:
            return errors.NotOwner
        if crate is not None and number(version) in map(number, crate.yanked):
            return errors.VersionExists
        crate = self.crates.setdefault(key, Crate(name, [by]))
        crate.yanked[version] = False
        return None

    def _crate(self, by: str, name: str) -> Crate | type[errors.RegistryError]:
        crate = self.crates.get(canonical(name))
        if crate is None or crate.name != name:
            return errors.NoSuchPackage
        return crate if by in [*crate.owners, ADMIN] else errors.NotOwner

    def yank(self, by: str, name: str, version: str, yanked: bool) -> Refusal:
        crate = self._crate(by, name)
        if not isinstance(crate, Crate):
            return crate
        if version not in crate.yanked:
            return errors.NoSuchVersion
        if version in crate.purged and not yanked:
            return errors.VersionPurged
        crate.yanked[version] = yanked
        return None

    def purge_crate(self, by: str, name: str, version: str) -> Refusal:
        crate = self._crate(ADMIN, name)
        if not isinstance(crate, Crate):
            return crate
        if version not in crate.yanked:
            return errors.NoSuchVersion
        if by != ADMIN:
            return errors.NotAllowed
        if version not in crate.purged:
            crate.yanked[version] = True
            crate.purged.append(version)
        return None

    def crate_owner(self, by: str, name: str, owner: str, adding: bool) -> Refusal:
        crate = self._crate(by, name)
        if not isinstance(crate, Crate):
            return crate
        if adding:
            if owner in crate.owners:
                return None
            if owner not in self.accounts:
                return errors.NoSuchAccount
            crate.owners.append(owner)
            return None
        if owner not in crate.owners:
            return errors.NoSuchOwner
        if crate.owners == [owner]:
            return errors.LastOwner
        crate.owners.remove(owner)
        return None

    def publish_npm(self, by: str, name: str, version: str, tag: str) -> Refusal:
        package = self.packages.get(name.lower())
        if package is None and name != name.lower():
            return errors.Invalid
        if package is not None and package.name != name:
            return errors.NameTaken
        if package is not None and by not in [*package.owners, ADMIN]:
            return errors.NotOwner
        if package is not None and number(version) in map(number, package.deprecated):
            return errors.VersionExists
        if package is not None and number(version) in map(number, package.removed):
            return errors.VersionUnpublished
        package = self.packages.setdefault(name, Package(name, [by]))
        version = number(version)
        package.deprecated[version] = ""
        package.tags[tag] = version
        package.tags.setdefault("latest", version)
        return None

    def _package(self, by: str, name: str) -> Package | type[errors.RegistryError]:
        package = self.packages.get(name.lower())
        if package is None or package.name != name or not package.deprecated:
            return errors.NoSuchPackage
        return package if by in [*package.owners, ADMIN] else errors.NotOwner

    def unpublish_version(self, by: str, name: str, version: str) -> Refusal:
        """`version` is one that is there."""
        package = self._package(by, name)
        if not isinstance(package, Package):
            return package
        del package.deprecated[version]
        package.removed.append(version)
        if not package.deprecated:
            package.tags.clear()
        for tag in [tag for tag, target in package.tags.items() if target == version]:
            if tag == "latest":
                package.tags[tag] = max(package.deprecated, key=RELEASES_LAST.__getitem__)
            else:
                del package.tags[tag]
        return None

    def purge_npm(self, by: str, name: str, version: str) -> Refusal:
        package = self.packages.get(name.lower())
        version = number(version)
        if package is None or package.name != name:
            return errors.NoSuchPackage
        if version not in [*package.deprecated, *package.removed]:
            return errors.NoSuchVersion
        if by != ADMIN:
            return errors.NotAllowed
        if version in package.deprecated:
            self.unpublish_version(by, name, version)
        if version not in package.purged:
            package.purged.append(version)
        return None

    def unpublish(self, by: str, name: str, is_stale: bool) -> Refusal:
        """is_stale: whether the request names an older revision than the package has."""
        package = self._package(by, name)
        if not isinstance(package, Package):
            return package
        if is_stale:
            return errors.Conflict
        package.removed += package.deprecated
        package.deprecated.clear()
        package.tags.clear()
        return None

    def set_tag(self, by: str, name: str, tag: str, version: str) -> Refusal:
        package = self._package(by, name)
        version = number(version)
        if not isinstance(package, Package):
            return package
        if version not in package.deprecated:
            return errors.NoSuchVersion
        package.tags[tag] = version
        return None

    def remove_tag(self, by: str, name: str, tag: str) -> Refusal:
        package = self._package(by, name)
        if not isinstance(package, Package):
            return package
        if tag not in package.tags:
            return errors.NotFound
        if tag == "latest":
            return errors.Invalid
        del package.tags[tag]
        return None

    def deprecate(self, by: str, name: str, version: str, message: str) -> Refusal:
        package = self.packages.get(name)
        version = number(version)
        if package is not None and package.deprecated and version not in package.deprecated:
            return errors.Invalid
        if package is not None and package.deprecated.get(version) == message:
            return None  # nothing is asked for, so nobody is refused
        package = self._package(by, name)
        if not isinstance(package, Package):
            return package
        package.deprecated[version] = message
        return None

    def npm_owners(self, by: str, name: str, owners: list[str]) -> Refusal:
        package = self._package(by, name)
        if not isinstance(package, Package):
            return package
        if not owners:
            return errors.LastOwner
        if any(owner not in [*self.accounts, *package.owners] for owner in owners):
            return errors.NoSuchAccount
        package.owners = [
            *(owner for owner in package.owners if owner in owners),
            *(owner for owner in dict.fromkeys(owners) if owner not in package.owners),
        ]
        return None

    def star(self, by: str, name: str, starred: bool) -> Refusal:
        package = self.packages.get(name.lower())
        if package is None or package.name != name or not package.deprecated:
            return errors.NoSuchPackage
        if by in package.stars:
            package.stars.remove(by)
        if starred:
            package.stars.append(by)
        return None
