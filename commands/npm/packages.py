"""What a user may do with npm packages."""

from mmap import mmap

import msgspec

from packledger.commands.npm.archive import read_npm_archive
from packledger.commands.npm.attachment import Decoded, decode_attachment
from packledger.commands.npm.body import NpmBody
from packledger.commands.npm.signing import sign
from packledger.commands.npm.upload import (
    PublishRequest,
    check_digests,
    check_publish,
)
from packledger.commands.readmes import commit_with_readme
from packledger.commands.registry import Registry
from packledger.commands.sight import check_may_use_name
from packledger.domain.accounts.actions import Action
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.caller import Caller
from packledger.domain.ecosystems import NPM
from packledger.domain.errors import NotAllowed
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.npm import package as npm_package
from packledger.domain.npm.manifest import check_manifest, normalise_package_json
from packledger.domain.npm.names import check_new_npm_name
from packledger.domain.npm.package import NpmPackage
from packledger.domain.ownership import check_owner
from packledger.domain.streams import PACKAGES
from packledger.eventstore.blobs.store import BlobWriter


def publish(
    registry: Registry,
    caller: Caller,
    name: str,
    body: NpmBody,
    buffer: bytes | mmap,
) -> bool:
    """Publish the one version that a body holds; return whether the package is new.

    Raises:
        RegistryError: the sentence says why; nothing is visible.
    """
    request = check_publish(body, name)
    state = registry.log.load(PACKAGES, name).state
    check_may_use_name(caller, NPM, name, state)
    if state is None:
        check_new_npm_name(name)
    caller.check_may(_publishing(state), NPM, name)
    # Before the tarball is decoded: the cheap answer first, and nothing is stored for it.
    npm_package.check_publish(state, caller.actor, name, request.version)
    writer = registry.blobs.writer()
    try:
        published = _receive(registry, caller.actor, request, buffer, writer)
    finally:
        writer.discard()
    tags = request.dist_tags
    registry.execute(
        PACKAGES,
        name,
        lambda state, _: npm_package.decide_publish(state, caller.actor, published, tags),
    )
    return state is None


def refusal_of_publish(registry: Registry, caller: Caller, name: str) -> NotAllowed | None:
    """Return why this caller may not publish a package, None if he may."""
    state = registry.log.load(PACKAGES, name).state
    try:
        check_may_use_name(caller, NPM, name, state)
        caller.check_may(_publishing(state), NPM, name)
        if state is not None:
            check_owner(state.owners, caller.actor, name)
    except NotAllowed as refusal:
        return refusal
    return None


def _publishing(state: NpmPackage | None) -> Action:
    return Action.PUBLISH_UPDATE if state else Action.PUBLISH_NEW


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
    signature = sign(registry, request.name, request.version, decoded.integrity)
    digest, readme = commit_with_readme(registry.blobs, writer, archive.readme)
    return NpmVersionPublished(
        **actor.stamp(),
        name=request.name,
        version=request.version,
        tarball=digest,
        size_bytes=decoded.size_bytes,
        shasum=decoded.shasum,
        integrity=decoded.integrity,
        file_count=archive.file_count,
        unpacked_bytes=archive.unpacked_bytes,
        manifest=msgspec.Raw(manifest.json),
        maintainers=(),
        readme=readme,
        readme_filename=archive.readme_filename,
        signatures=(signature,) if signature else (),
    )
