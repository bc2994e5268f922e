"""What a user may do with npm packages."""

from collections.abc import Mapping, Sequence
from mmap import mmap

import msgspec

from packledger.commands.accounts import check_accounts_exist
from packledger.commands.npm_archive import read_npm_archive
from packledger.commands.npm_attachment import Decoded, decode_attachment
from packledger.commands.npm_body import NpmBody
from packledger.commands.npm_upload import (
    PublishRequest,
    check_digests,
    check_publish,
    read_edit,
)
from packledger.commands.readmes import store_readme
from packledger.commands.registry import Registry
from packledger.domain import npm_package
from packledger.domain.actor import Actor
from packledger.domain.errors import Conflict, Invalid, NotAllowed
from packledger.domain.events import Event, NpmOwnerAdded, NpmVersionPublished
from packledger.domain.npm_manifest import check_manifest, normalise_package_json
from packledger.domain.npm_names import canonical_npm_name, check_dist_tag, check_new_npm_name
from packledger.domain.npm_package import NpmPackage
from packledger.domain.ownership import check_owner
from packledger.domain.permissions import Identity
from packledger.eventstore.blobs import BlobWriter

NPM = "npm"


def publish(
    registry: Registry,
    identity: Identity,
    actor: Actor,
    name: str,
    body: NpmBody,
    buffer: bytes | mmap,
) -> bool:
    """Publish the one version that a body holds; return whether the package is new.

    Raises:
        RegistryError: the sentence says why; nothing is visible.
    """
    request = check_publish(body, name)
    stream = canonical_npm_name(name)
    state: NpmPackage | None = registry.log.load("npm", stream).state
    if state is None:
        check_new_npm_name(name)
    identity.check_may("publish-update" if state else "publish-new", NPM, name)
    # Before the tarball is decoded: the cheap answer first, and nothing is stored for it.
    npm_package.check_publish(state, actor, name, request.version)
    writer = registry.blobs.writer()
    try:
        published = _receive(registry, actor, request, buffer, writer)
    finally:
        writer.discard()
    tags = request.dist_tags
    registry.execute(
        "npm", stream, lambda state, _: npm_package.decide_publish(state, actor, published, tags)
    )
    return state is None


def _receive(
    registry: Registry,
    actor: Actor,
    request: PublishRequest,
    buffer: bytes | mmap,
    writer: BlobWriter,
) -> NpmVersionPublished:
    """Decode the tarball, compare it with what the request says, and store it."""
    decoded: Decoded = decode_attachment(
        buffer,
        request.attachment.data,
        writer,
        max_tarball_bytes=registry.limits.npm_body_bytes,
    )
    check_digests(request, decoded)
    with writer.reader() as file:
        archive = read_npm_archive(file, registry.limits.unpacked_bytes)
    manifest = normalise_package_json(archive.package_json, archive.facts, request.client)
    check_manifest(manifest, request.name, request.version)
    return NpmVersionPublished(
        **actor.stamp(),
        name=request.name,
        version=request.version,
        tarball=writer.commit(),
        size_bytes=decoded.size_bytes,
        shasum=decoded.shasum,
        integrity=decoded.integrity,
        file_count=archive.file_count,
        unpacked_bytes=archive.unpacked_bytes,
        manifest=msgspec.Raw(manifest.json),
        maintainers=(),
        readme=store_readme(registry.blobs, archive.readme),
        readme_filename=archive.readme_filename,
    )


def edit(
    registry: Registry, identity: Identity, actor: Actor, name: str, body: NpmBody, rev: str | None
) -> None:
    """Apply a packument that a client sent back with changes: whatever differs and may.

    npm has one request for deprecating, unpublishing a version, starring and changing owners. Only
    these are taken from it: versions may go, never come, and their tarballs never change.
    rev: from the path `…/-rev/REV`, which alone may remove versions; None for a plain PUT.

    Raises:
        RegistryError: the sentence says why; nothing was changed.
    """
    wanted = read_edit(body, name)
    expected = rev or wanted.rev
    if wanted.deprecations is not None:
        _edit_versions(registry, identity, actor, name, wanted.deprecations, expected, bool(rev))
    elif wanted.maintainers is not None:
        set_owners(registry, identity, actor, name, wanted.maintainers, expected)
    elif wanted.stars is not None:
        star(registry, identity, actor, name, actor.by in wanted.stars)
    else:
        raise Invalid(
            f"the body changes nothing of `{name}`: it has neither versions nor maintainers nor "
            "users, and no tarball"
        )


def check_rev(name: str, version: int, rev: str | None) -> None:
    """Refuse a change that was made to an older state of a package, at stream version `version`.

    `undefined` is what yarn 1 sends after it read the abbreviated form, which has no `_rev`.

    Raises:
        Conflict: the package has changed since.
    """
    if rev in {None, "", "undefined"}:
        return
    if str(rev).partition("-")[0] != str(version):
        raise Conflict(
            f"`{name}` has changed since you read it (revision `{str(rev)[:40]}`); read it again "
            "and repeat the change"
        )


def _edit_versions(  # noqa: PLR0913, PLR0917 - one step of `edit`, split off for its length
    registry: Registry,
    identity: Identity,
    actor: Actor,
    name: str,
    messages: Mapping[str, str],
    rev: str | None,
    may_shrink: bool,
) -> None:
    identity.check_may("yank", NPM, name)

    def decide(state: NpmPackage | None, version: int) -> Sequence[Event]:
        package = npm_package.existing(state, name)
        check_rev(name, version, rev)
        _check_versions(package, messages)
        gone = [v.version for v in package.versions.values() if v.version not in messages]
        if gone and may_shrink:
            return npm_package.decide_unpublish(package, actor, name, gone)
        return npm_package.decide_deprecate(package, actor, name, messages)

    registry.execute("npm", canonical_npm_name(name), decide)


def _check_versions(package: NpmPackage, messages: Mapping[str, str]) -> None:
    """Refuse versions that were never published."""
    known = {version.version for version in package.versions.values()}
    for version in messages:
        if version not in known:
            raise Invalid(
                f"`{package.name}@{version[:150]}` is not published; a version comes only with its "
                "tarball, by `npm publish`"
            )


def unpublish(
    registry: Registry, identity: Identity, actor: Actor, name: str, rev: str | None
) -> None:
    """Remove a whole package; its version numbers stay used.

    Raises:
        RegistryError: no such package, no right to it, or it has changed since.
    """
    identity.check_may("yank", NPM, name)

    def decide(state: NpmPackage | None, version: int) -> Sequence[Event]:
        events = npm_package.decide_unpublish_all(state, actor, name)
        check_rev(name, version, rev)
        return events

    registry.execute("npm", canonical_npm_name(name), decide)


def check_tarball_gone(
    registry: Registry, identity: Identity, actor: Actor, name: str, version: str
) -> None:
    """Answer npm's second step of unpublishing a version: it is hidden already, or refused.

    Raises:
        RegistryError: no such package, no right to it, or the version is still listed.
    """
    identity.check_may("yank", NPM, name)
    state: NpmPackage | None = registry.log.load("npm", canonical_npm_name(name)).state
    package = npm_package.existing(state, name)
    check_owner(package.owners, actor, name)
    if version in {known.version for known in package.versions.values()}:
        raise Conflict(
            f"`{name}@{version}` is still listed; unpublish the version, not only its tarball"
        )


def set_tag(
    registry: Registry, identity: Identity, actor: Actor, name: str, tag: str, version: str
) -> None:
    """Point a dist-tag to a version.

    Raises:
        RegistryError: a bad tag, no such package or version, or no right to it.
    """
    check_dist_tag(tag)
    identity.check_may("dist-tags", NPM, name)
    registry.execute(
        "npm",
        canonical_npm_name(name),
        lambda state, _: npm_package.decide_set_tag(state, actor, name, tag, version),
    )


def remove_tag(registry: Registry, identity: Identity, actor: Actor, name: str, tag: str) -> None:
    """Remove a dist-tag.

    Raises:
        RegistryError: no such package or tag, `latest`, or no right to it.
    """
    identity.check_may("dist-tags", NPM, name)
    registry.execute(
        "npm",
        canonical_npm_name(name),
        lambda state, _: npm_package.decide_remove_tag(state, actor, name, tag),
    )


def set_owners(
    registry: Registry,
    identity: Identity,
    actor: Actor,
    name: str,
    owners: Sequence[str],
    rev: str | None = None,
) -> None:
    """Make these accounts the owners of a package.

    Raises:
        RegistryError: no such package or account, no right to it, or nobody would remain.
    """
    identity.check_may("change-owners", NPM, name)

    def decide(state: NpmPackage | None, version: int) -> Sequence[Event]:
        events = npm_package.decide_owners(state, actor, name, owners)
        check_rev(name, version, rev)
        added = [event.owner for event in events if isinstance(event, NpmOwnerAdded)]
        check_accounts_exist(registry, added)
        return events

    registry.execute("npm", canonical_npm_name(name), decide)


def star(registry: Registry, identity: Identity, actor: Actor, name: str, starred: bool) -> None:
    """Give or take back the actor's star.

    Raises:
        RegistryError: no such package, or a token that may not write.
    """
    if identity.read_only:
        raise NotAllowed(f"the token `{identity.token}` may only read; use another one to write")
    registry.execute(
        "npm",
        canonical_npm_name(name),
        lambda state, _: npm_package.decide_star(state, actor, name, starred),
    )
