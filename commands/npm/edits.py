"""What a user may change of a published npm package: everything but its tarballs."""

from collections.abc import Sequence

from packledger.commands.accounts import as_registered, check_accounts_exist
from packledger.commands.npm.body import NpmBody
from packledger.commands.npm.upload import NpmEdit, read_edit
from packledger.commands.registry import Registry
from packledger.commands.sight import seen
from packledger.domain.accounts.actions import Action
from packledger.domain.accounts.caller import Caller
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import Conflict, Invalid, NotFound
from packledger.domain.events.npm import NpmEvent, NpmOwnerAdded
from packledger.domain.npm import package as npm_package
from packledger.domain.npm.names import check_dist_tag
from packledger.domain.npm.package import NpmPackage
from packledger.domain.npm.versions import npm_version_key
from packledger.domain.ownership import check_owner
from packledger.domain.streams import PACKAGES

UNREAD = "undefined"
"""The revision that yarn 1 names after it read the abbreviated form, which has none."""


def edit(registry: Registry, caller: Caller, name: str, body: NpmBody, rev: str | None) -> None:
    """Apply a packument that a client sent back with changes: whatever differs and may.

    npm has one request for deprecating, unpublishing a version, starring and changing owners. Only
    these are taken from it: versions may go, never come, and their tarballs never change.
    rev: from the path `…/-rev/REV`, which alone may remove versions; None for a plain PUT.

    Raises:
        RegistryError: the sentence says why; nothing was changed.
    """
    wanted = read_edit(body, name)
    if wanted.deprecations is None and wanted.maintainers is not None:
        set_owners(registry, caller, name, wanted.maintainers, rev or wanted.rev)
        return
    if wanted.deprecations is None and wanted.stars is None:
        raise Invalid(
            f"the body changes nothing of `{name}`: it has neither versions nor maintainers nor "
            "users, and no tarball"
        )

    def decide(state: NpmPackage | None, version: int) -> Sequence[NpmEvent]:
        package = npm_package.existing(seen(caller, NPM, name, state), name)
        check_rev(name, version, rev or wanted.rev)
        return _decide_edit(package, caller, wanted, may_shrink=rev is not None)

    registry.execute(PACKAGES, name, decide)


def _decide_edit(
    package: NpmPackage, caller: Caller, wanted: NpmEdit, *, may_shrink: bool
) -> Sequence[NpmEvent]:
    """Return the events of the one thing that a packument changes."""
    if wanted.deprecations is not None:
        messages = _by_exact_text(package, wanted)
        gone = [one.version for one in package.versions.values() if one.version not in messages]
        if gone and may_shrink:
            caller.check_may(Action.UNPUBLISH, NPM, package.name)
            return npm_package.decide_unpublish(package, caller.actor, package.name, gone)
        if any(package.find(version).deprecated != said for version, said in messages.items()):
            caller.check_may(Action.DEPRECATE, NPM, package.name)
            return npm_package.decide_deprecate(package, caller.actor, package.name, messages)
    # pnpm's last resort for a star is the whole packument with other `users`.
    if wanted.stars is None:
        return []
    return _decide_star(package, caller, caller.actor.by in wanted.stars)


def _by_exact_text(package: NpmPackage, wanted: NpmEdit) -> dict[str, str]:
    """Return the message of each version that an edit names, empty for none.

    Raises:
        Invalid: a version that was never published or is named twice, or another tarball for one.
    """
    messages: dict[str, str] = {}
    for version, message in (wanted.deprecations or {}).items():
        published = package.versions.get(npm_version_key(version))
        if published is None or published.version in messages:
            raise Invalid(
                f"`{package.name}@{version[:150]}` is not published, or is named twice; a version "
                "comes only with its tarball, by `npm publish`"
            )
        messages[published.version] = message
        dist = wanted.dists[version]
        if dist.shasum is not None and dist.shasum.lower() != published.shasum:
            raise Invalid(
                f"the tarball of `{package.name}@{version}` never changes; its shasum is "
                f"`{published.shasum}`, publish a new version instead"
            )
    return messages


def _decide_star(package: NpmPackage, caller: Caller, starred: bool) -> Sequence[NpmEvent]:
    caller.check_may(Action.STARS, NPM, package.name)
    return npm_package.decide_star(package, caller.actor, package.name, starred)


def check_rev(name: str, version: int, rev: str | None) -> None:
    """Refuse a change that was made to an older state of a package, at stream version `version`.

    Raises:
        Conflict: the package has changed since.
    """
    if rev in {None, "", UNREAD}:
        return
    if str(rev).partition("-")[0] != str(version):
        raise Conflict(
            f"`{name}` has changed since you read it (revision `{str(rev)[:40]}`); read it again "
            "and repeat the change"
        )


def unpublish(registry: Registry, caller: Caller, name: str, rev: str | None) -> None:
    """Remove a whole package; its version numbers stay used.

    Raises:
        RegistryError: no such package, no right to it, or it has changed since.
    """
    caller.check_may(Action.UNPUBLISH, NPM, name)

    def decide(state: NpmPackage | None, version: int) -> Sequence[NpmEvent]:
        events = npm_package.decide_unpublish_all(
            seen(caller, NPM, name, state), caller.actor, name
        )
        check_rev(name, version, rev)
        return events

    registry.execute(PACKAGES, name, decide)


def check_tarball_gone(registry: Registry, caller: Caller, name: str, version: str) -> None:
    """Answer npm's second step of unpublishing a version: it is hidden already, or refused.

    Raises:
        RegistryError: no such package, no right to it, the version is still listed or never was.
    """
    caller.check_may(Action.UNPUBLISH, NPM, name)
    state = registry.log.load(PACKAGES, name).state
    package = npm_package.existing(seen(caller, NPM, name, state), name)
    check_owner(package.owners, caller.actor, name)
    key = npm_version_key(version)
    if key in package.versions:
        raise Conflict(
            f"`{name}@{version}` is still listed; unpublish the version, not only its tarball"
        )
    if key not in package.removed:
        raise NotFound(f"`{name}` never had the version `{version[:150]}`, nor its tarball")


def set_tag(registry: Registry, caller: Caller, name: str, tag: str, version: str) -> None:
    """Point a dist-tag to a version.

    Raises:
        RegistryError: a bad tag, no such package or version, or no right to it.
    """
    check_dist_tag(tag)
    caller.check_may(Action.DIST_TAGS, NPM, name)
    registry.execute(
        PACKAGES,
        name,
        lambda state, _: npm_package.decide_set_tag(
            seen(caller, NPM, name, state), caller.actor, name, tag, version
        ),
    )


def remove_tag(registry: Registry, caller: Caller, name: str, tag: str) -> None:
    """Remove a dist-tag.

    Raises:
        RegistryError: no such package or tag, `latest`, or no right to it.
    """
    caller.check_may(Action.DIST_TAGS, NPM, name)
    registry.execute(
        PACKAGES,
        name,
        lambda state, _: npm_package.decide_remove_tag(
            seen(caller, NPM, name, state), caller.actor, name, tag
        ),
    )


def set_owners(
    registry: Registry,
    caller: Caller,
    name: str,
    owners: Sequence[str],
    rev: str | None = None,
) -> None:
    """Make these accounts the owners of a package.

    The abbreviated form has no owners either: who names no revision may add to a list that he has
    not seen, but not replace it.

    Raises:
        RegistryError: no such package or account, no right to it, or nobody would remain.
    """
    caller.check_may(Action.CHANGE_OWNERS, NPM, name)
    if rev == UNREAD and not owners:
        # `yarn owner remove` sends no owners at all, whoever it is to remove.
        raise Invalid(
            f"the request does not say whom to remove from the owners of `{name}`, as yarn 1 does; "
            "use `npm owner rm`"
        )

    def decide(state: NpmPackage | None, version: int) -> Sequence[NpmEvent]:
        package = npm_package.existing(seen(caller, NPM, name, state), name)
        given = as_registered(registry, owners)
        wanted = [*package.owners, *given] if rev == UNREAD else given
        events = npm_package.decide_owners(package, caller.actor, name, wanted)
        check_rev(name, version, rev)
        added = [event.owner for event in events if isinstance(event, NpmOwnerAdded)]
        check_accounts_exist(registry, added)
        return events

    registry.execute(PACKAGES, name, decide)


def star(registry: Registry, caller: Caller, name: str, starred: bool) -> None:
    """Give or take back the actor's star.

    Raises:
        RegistryError: no such package, or a token that may not write.
    """
    registry.execute(
        PACKAGES,
        name,
        lambda state, _: _decide_star(
            npm_package.existing(seen(caller, NPM, name, state), name), caller, starred
        ),
    )
