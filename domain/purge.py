"""Removing the bytes of a version for good: the history stays and says so, with the reason.

Unlike yanking and unpublishing, which hide a version, this takes the file from everybody, lock
files and past views included. It is for what must not be there at all, such as a leaked secret.
"""

from typing import TypeVar

from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.cargo.crate import Crate
from packledger.domain.errors import Invalid, NoSuchPackage, NoSuchVersion, NotAllowed
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import CrateEvent
from packledger.domain.events.npm import NpmEvent
from packledger.domain.npm import package as npm_package
from packledger.domain.npm.package import NpmPackage
from packledger.domain.versions import without_build

Package = TypeVar("Package", Crate, NpmPackage)
REASON_CHARACTERS = 300
"""Everybody who asks for the file reads it, in a line of a client's output."""


def check_reason(reason: str) -> str:
    """Return a reason without the blanks around it.

    Raises:
        Invalid: it says nothing, is too long, or is not one line of text.
    """
    reason = reason.strip()
    if not reason or not reason.isprintable() or len(reason) > REASON_CHARACTERS:
        raise Invalid(
            f"the reason must be one line of at most {REASON_CHARACTERS} characters; it is kept in "
            "the history and shown to whoever asks for the file"
        )
    return reason


def decide_purge_crate(state: Crate | None, actor: Actor, purged: BlobPurged) -> list[CrateEvent]:
    """Return the events of removing the bytes of a crate's version; none when it was done already.

    The same events hide the version, so that nothing chooses it any more.

    Raises:
        NoSuchPackage, NoSuchVersion: there is nothing to remove.
        NotAllowed: the actor is no administrator.
    """
    found = _existing(state, actor, purged)
    if purged.version in found.purged:
        return []
    hidden = crate.decide_yank(found, actor, purged.name, purged.version, yanked=True)
    return [*hidden, purged]


def decide_purge_package(
    state: NpmPackage | None, actor: Actor, purged: BlobPurged
) -> list[NpmEvent]:
    """Return the events of removing the bytes of a package's version, as `decide_purge_crate`."""
    found = _existing(state, actor, purged)
    if purged.version in found.purged:
        return []
    return [*_unpublish(found, actor, purged), purged]


def _existing(state: Package | None, actor: Actor, purged: BlobPurged) -> Package:
    if not actor.admin:
        raise NotAllowed(
            f"only an administrator may purge `{purged.name}@{purged.version}`; ask one"
        )
    if state is None or state.name != purged.name:
        raise NoSuchPackage(purged.name)
    return state


def _unpublish(package: NpmPackage, actor: Actor, purged: BlobPurged) -> list[NpmEvent]:
    if package.removed.get(without_build(purged.version)) == purged.version:
        return []
    # the event names the version by its exact text, as the one that published it does
    if not package.versions or package.find(purged.version).version != purged.version:
        raise NoSuchVersion(purged.name, purged.version)
    return npm_package.decide_unpublish(package, actor, purged.name, [purged.version])
