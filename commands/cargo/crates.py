"""What a user may do with crates."""

from collections.abc import Sequence

import msgspec

from packledger.commands.accounts import as_registered, check_accounts_exist
from packledger.commands.cargo.advice import check_no_wildcards
from packledger.commands.cargo.archive import read_crate
from packledger.commands.cargo.upload import CrateMetadata, CrateUpload
from packledger.commands.readmes import commit_with_readme
from packledger.commands.registry import Registry
from packledger.commands.sight import check_may_use_name, seen
from packledger.domain.accounts.actions import Action
from packledger.domain.accounts.caller import Caller
from packledger.domain.cargo import crate
from packledger.domain.cargo.manifest import CrateManifest
from packledger.domain.cargo.names import check_crate_name
from packledger.domain.ecosystems import CARGO
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.event import encode
from packledger.domain.streams import CRATES
from packledger.domain.versions import parse_version
from packledger.eventstore.blobs.store import BlobWriter


def publish(
    registry: Registry, caller: Caller, upload: CrateUpload, blob: BlobWriter
) -> CrateManifest:
    """Publish an upload that was received whole into `blob`; the caller discards what is left.

    Returns what the crate's own `Cargo.toml` says.

    Raises:
        RegistryError: the sentence says why; nothing is visible.
    """
    assert upload.metadata is not None, "the upload is whole"
    # Before the archive is read: the cheap answer first, and nothing is stored for it.
    check_publish(registry, caller, upload.metadata)
    name, version = upload.metadata.name, upload.metadata.vers
    with blob.reader() as file:
        found = read_crate(
            file, upload.metadata, registry.own_index_urls, registry.limits.unpacked_bytes
        )
    if not registry.limits.wildcard_dependencies:
        check_no_wildcards(found.manifest)
    cksum, readme = commit_with_readme(registry.blobs, blob, found.readme)
    published = CrateVersionPublished(
        **caller.actor.stamp(),
        name=name,
        version=version,
        cksum=cksum,
        size_bytes=blob.size_bytes,
        manifest=msgspec.Raw(encode(found.manifest)),
        readme=readme,
    )
    registry.execute(
        CRATES, name, lambda state, _: crate.decide_publish(state, caller.actor, published)
    )
    return found.manifest


def check_publish(registry: Registry, caller: Caller, metadata: CrateMetadata) -> None:
    """Refuse a publish by what its metadata says.

    Raises:
        RegistryError: no such name or version can be, or not by this caller.
    """
    check_crate_name(metadata.name)
    parse_version(metadata.vers)
    state = _state(registry, metadata.name)
    check_may_use_name(caller, CARGO, metadata.name, state)
    action = Action.PUBLISH_UPDATE if state else Action.PUBLISH_NEW
    caller.check_may(action, CARGO, metadata.name)
    crate.check_publish(state, caller.actor, metadata.name, metadata.vers)


def set_yanked(registry: Registry, caller: Caller, name: str, version: str, yanked: bool) -> None:
    """Yank or unyank a version; does nothing when it is so already.

    Raises:
        RegistryError: no such crate or version, or no right to it.
    """
    caller.check_may(Action.YANK, CARGO, name)
    registry.execute(
        CRATES,
        name,
        lambda state, _: crate.decide_yank(
            seen(caller, CARGO, name, state), caller.actor, name, version, yanked
        ),
    )


def change_owners(
    registry: Registry,
    caller: Caller,
    name: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> None:
    """Add and remove owners of a crate.

    Raises:
        RegistryError: no such crate or account, no right to it, or nobody would remain.
    """
    caller.check_may(Action.CHANGE_OWNERS, CARGO, name)
    state = seen(caller, CARGO, name, _state(registry, name))
    adding, removing = (as_registered(registry, names) for names in (add, remove))
    crate.decide_owners(state, caller.actor, name, adding, removing)
    check_accounts_exist(registry, adding)
    registry.execute(
        CRATES,
        name,
        lambda state, _: crate.decide_owners(state, caller.actor, name, adding, removing),
    )


def _state(registry: Registry, name: str) -> crate.Crate | None:
    return registry.log.load(CRATES, name).state
