"""Which events could have been decided: what was always refused, for a replay of the whole log.

`decide_*` say what may happen today, and may become stricter; this says only what no release ever
allowed, so that no old log is accused. Who acts in another's name is judged by the caller.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from packledger.domain.accounts.account import ROLES, Account
from packledger.domain.cargo.crate import Crate
from packledger.domain.configuration import Configuration
from packledger.domain.events.accounts import (
    AccountDisabled,
    AccountEnabled,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    SessionBegun,
    SessionEnded,
    TokenIssued,
    TokenRevoked,
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
from packledger.domain.events.event import Event
from packledger.domain.events.npm import (
    NpmDistTagRemoved,
    NpmDistTagSet,
    NpmEvent,
    NpmOwnerAdded,
    NpmOwnerRemoved,
    NpmRegistered,
    NpmStarred,
    NpmUnpublished,
    NpmUnstarred,
    NpmVersionDeprecated,
    NpmVersionPublished,
    NpmVersionSigned,
    NpmVersionUndeprecated,
    NpmVersionUnpublished,
)
from packledger.domain.events.registry import RegistryConfigured, SigningKeyAdded, SigningKeyRetired
from packledger.domain.npm.package import LATEST, NpmPackage
from packledger.domain.versions import without_build

Package = Crate | NpmPackage
Starred = NpmStarred | NpmUnstarred
OfVersion = (
    CrateVersionYanked
    | CrateVersionUnyanked
    | NpmVersionSigned
    | NpmVersionUnpublished
    | NpmDistTagSet
    | NpmVersionDeprecated
    | NpmVersionUndeprecated
    | BlobPurged
)
Credential = SessionBegun | SessionEnded | TokenIssued | TokenRevoked

BY_OWNERS = frozenset(
    {
        CrateVersionPublished,
        CrateVersionYanked,
        CrateVersionUnyanked,
        CrateOwnerAdded,
        CrateOwnerRemoved,
        NpmVersionPublished,
        NpmVersionUnpublished,
        NpmUnpublished,
        NpmDistTagSet,
        NpmDistTagRemoved,
        NpmVersionDeprecated,
        NpmVersionUndeprecated,
        NpmOwnerAdded,
        NpmOwnerRemoved,
    }
)
"""Events of packages that only an owner or an administrator brings about."""
BY_ADMINS = frozenset(
    {
        BlobPurged,
        NpmVersionSigned,
        AccountRoleChanged,
        AccountDisabled,
        AccountEnabled,
        RegistryConfigured,
        SigningKeyAdded,
        SigningKeyRetired,
    }
)
"""Events that only an administrator or the operator brings about."""
BY_THEMSELVES = frozenset(
    {
        AccountRegistered,
        AccountPasswordChanged,
        TokenIssued,
        TokenRevoked,
        SessionBegun,
        SessionEnded,
    }
)
"""Events of accounts that the account itself may bring about, too."""


def why_not(state: Any, event: Event) -> str:
    """Return why no decision on this state gave the event, empty if one may have."""
    rule = _RULES.get(type(event))
    if rule is None:
        return ""
    if state is None and type(event) not in _FIRST:
        return "there is nothing that it could be about"
    return rule(state, event)


def _registered(state: Package | None, event: CrateRegistered | NpmRegistered) -> str:
    if state is not None:
        return f"`{state.name}` was registered before"
    return "" if event.owner == event.by else f"`{event.by}` registered it for `{event.owner}`"


def _named(state: Package, event: CrateEvent | NpmEvent) -> str:
    return "" if state.name == event.name else f"the name is `{state.name}`"


class _Said(msgspec.Struct, frozen=True):
    """What a stored manifest says that it is of."""

    name: str = ""
    version: str = ""


def _crate_published(state: Crate, event: CrateVersionPublished) -> str:
    if without_build(event.version) in state.versions:
        return f"`{event.version}` was published before"
    return _of_another(event) or _named(state, event)


def _of_another(event: CrateVersionPublished | NpmVersionPublished) -> str:
    """Return whose the manifest is if not the version's: documents show what it says."""
    said = msgspec.json.decode(event.manifest, type=_Said)
    if said in {_Said(), _Said(event.name, event.version)}:
        return ""
    return f"its manifest is that of `{said.name}@{said.version}`"


def _npm_published(state: NpmPackage, event: NpmVersionPublished) -> str:
    key = without_build(event.version)
    if key in state.versions or key in state.removed:
        return f"`{event.version}` was published before"
    if event.maintainers != tuple(state.owners):
        return "its maintainers are not the owners of that moment"
    return _of_another(event) or _named(state, event)


def _there(state: Package, event: OfVersion) -> str:
    found = state.versions.get(without_build(event.version))
    if found is None or found.version != event.version:
        return f"there is no version `{event.version}`"
    return _named(state, event)


def _yanked(state: Crate, event: CrateVersionYanked | CrateVersionUnyanked) -> str:
    missing = _there(state, event)
    if missing:
        return missing
    if state.versions[without_build(event.version)].yanked is isinstance(event, CrateVersionYanked):
        return f"`{event.version}` was so already"
    return f"`{event.version}` is purged" if event.version in state.purged else ""


def _owner_added(state: Package, event: CrateOwnerAdded | NpmOwnerAdded) -> str:
    if event.owner in state.owners:
        return f"`{event.owner}` was an owner already"
    return _named(state, event)


def _owner_removed(state: Package, event: CrateOwnerRemoved | NpmOwnerRemoved) -> str:
    if event.owner not in state.owners:
        return f"`{event.owner}` was no owner"
    return _named(state, event) if len(state.owners) > 1 else "nobody would own it"


def _unpublished(state: NpmPackage, event: NpmVersionUnpublished) -> str:
    if event.version in state.dist_tags.values():
        return f"a dist-tag points to `{event.version}`"
    return _there(state, event) if len(state.versions) > 1 else "it is the last version"


def _all_unpublished(state: NpmPackage, event: NpmUnpublished | Starred) -> str:
    return _named(state, event) if state.versions else "it has no versions"


def _tag_set(state: NpmPackage, event: NpmDistTagSet) -> str:
    if state.dist_tags.get(event.dist_tag) == event.version:
        return f"`{event.dist_tag}` was `{event.version}` already"
    return _there(state, event)


def _tag_removed(state: NpmPackage, event: NpmDistTagRemoved) -> str:
    if event.dist_tag not in state.dist_tags or event.dist_tag == LATEST:
        return f"there is no dist-tag `{event.dist_tag}` that could be removed"
    return _named(state, event)


def _deprecated(state: NpmPackage, event: NpmVersionDeprecated | NpmVersionUndeprecated) -> str:
    missing = _there(state, event)
    message = event.message if isinstance(event, NpmVersionDeprecated) else ""
    if missing or isinstance(event, NpmVersionDeprecated) is not bool(message):
        return missing or "it has no message"
    said = state.versions[without_build(event.version)].deprecated
    return f"`{event.version}` was so already" if said == message else ""


def _signed(state: NpmPackage, event: NpmVersionSigned) -> str:
    missing = _there(state, event)
    if missing:
        return missing
    signed = state.versions[without_build(event.version)].signed
    return f"`{event.version}` was signed before" if signed else ""


def _starred(state: NpmPackage, event: Starred) -> str:
    if (event.by in state.stars) is isinstance(event, NpmStarred):
        return f"that was so already for `{event.by}`"
    return _all_unpublished(state, event)


def _purged(state: Package, event: BlobPurged) -> str:
    if event.version in state.purged:
        return f"`{event.version}` was purged before"
    if isinstance(state, NpmPackage):
        hidden = state.removed.get(without_build(event.version)) == event.version
        return _named(state, event) if hidden else f"`{event.version}` is not unpublished"
    missing = _there(state, event)
    if missing:
        return missing
    yanked = state.versions[without_build(event.version)].yanked
    return "" if yanked else f"`{event.version}` is not yanked"


def _account_registered(state: Account | None, event: AccountRegistered) -> str:
    return "the account was registered before" if state is not None else _role(state, event)


def _role(state: Account | None, event: AccountRegistered | AccountRoleChanged) -> str:
    return "" if event.role in ROLES else f"there is no role `{event.role}`"


def _any(state: Account, event: AccountPasswordChanged) -> str:
    return ""


def _disabled(state: Account, event: AccountDisabled) -> str:
    return "the account was disabled already" if state.disabled else ""


def _enabled(state: Account, event: AccountEnabled) -> str:
    return "" if state.disabled else "the account was not disabled"


def _credential(state: Account, event: Credential) -> tuple[str, bool]:
    """Return what a credential is called, and whether the account has it."""
    if isinstance(event, SessionBegun | SessionEnded):
        return f"session `{event.session_id}`", event.session_id in state.sessions
    return f"token `{event.token_id}`", event.token_id in state.tokens


def _begun(state: Account, event: SessionBegun | TokenIssued) -> str:
    name, there = _credential(state, event)
    if there:
        return f"there is a {name} already"
    return "the account is disabled" if state.disabled else ""


def _ended(state: Account, event: SessionEnded | TokenRevoked) -> str:
    name, there = _credential(state, event)
    return "" if there else f"there is no {name}"


def _configured(state: Configuration | None, event: RegistryConfigured) -> str:
    known = state is not None and state.public_url == event.public_url
    return "the public URL was that already" if known else ""


def _key_added(state: Configuration | None, event: SigningKeyAdded) -> str:
    known = state is not None and event.keyid in state.signing_keys
    return f"the key `{event.keyid}` was there already" if known else ""


def _key_retired(state: Configuration, event: SigningKeyRetired) -> str:
    key = state.signing_keys.get(event.keyid)
    return "" if key and not key.expires else f"no key `{event.keyid}` signs"


_FIRST = frozenset(
    {CrateRegistered, NpmRegistered, AccountRegistered, RegistryConfigured, SigningKeyAdded}
)
"""What a stream may begin with."""
_RULES: dict[type[Event], Callable[[Any, Any], str]] = {
    CrateRegistered: _registered,
    CrateVersionPublished: _crate_published,
    CrateVersionYanked: _yanked,
    CrateVersionUnyanked: _yanked,
    CrateOwnerAdded: _owner_added,
    CrateOwnerRemoved: _owner_removed,
    NpmRegistered: _registered,
    NpmVersionPublished: _npm_published,
    NpmVersionSigned: _signed,
    NpmVersionUnpublished: _unpublished,
    NpmUnpublished: _all_unpublished,
    NpmDistTagSet: _tag_set,
    NpmDistTagRemoved: _tag_removed,
    NpmVersionDeprecated: _deprecated,
    NpmVersionUndeprecated: _deprecated,
    NpmOwnerAdded: _owner_added,
    NpmOwnerRemoved: _owner_removed,
    NpmStarred: _starred,
    NpmUnstarred: _starred,
    BlobPurged: _purged,
    AccountRegistered: _account_registered,
    AccountPasswordChanged: _any,
    AccountRoleChanged: _role,
    AccountDisabled: _disabled,
    AccountEnabled: _enabled,
    TokenIssued: _begun,
    TokenRevoked: _ended,
    SessionBegun: _begun,
    SessionEnded: _ended,
    RegistryConfigured: _configured,
    SigningKeyAdded: _key_added,
    SigningKeyRetired: _key_retired,
}
