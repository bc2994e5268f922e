"""The rules of the replay against those of the commands: what these decide passes, no more."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from event_stores import recorded
from histories import EVERYTHING, PEOPLE, VERSIONS, histories, long_history
from packledger.audit.checks.rules import Rules
from packledger.domain import configuration
from packledger.domain.accounts import account
from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.errors import RegistryError
from packledger.domain.events.accounts import (
    AccountDisabled,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    TokenIssued,
    TokenRevoked,
)
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import (
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
from packledger.domain.events.registry import (
    DownloadsCounted,
    RegistryConfigured,
    SigningKeyAdded,
    SigningKeyRetired,
)
from packledger.domain.npm import package as npm_package
from packledger.domain.purge import decide_purge_crate, decide_purge_package
from packledger.domain.streams import (
    ACCOUNTS,
    CRATES,
    DOWNLOADS,
    PACKAGES,
    REGISTRY,
    AnyStream,
    evolve,
)
from packledger.feeds.feed import Recorded

ADMINS = PEOPLE
"""As `histories` has it: they act as administrators, registered or not."""
Decide = Callable[[Any, Actor, Any], Sequence[Event]]


def faults_of(log: Sequence[Recorded], admins: Sequence[str] = ADMINS) -> list[str]:
    rules = Rules(admins)
    rules.follow(log)
    return [fault.what for fault in rules.faults(_Empty(), lambda done, total: None)]


class _Empty:
    """A log that has no more."""

    def last_position(self) -> int:
        return 0

    def read(self, after: int, limit: int, until: int | None = None) -> list[Recorded]:
        return []


@given(histories(max_size=120))
def test_whatever_commands_decide_passes(history: list[Recorded]) -> None:
    assert faults_of(history) == []


def test_a_long_log_of_commands_passes() -> None:
    assert faults_of(long_history()) == []


DECIDE: dict[type[Event], Decide] = {
    CrateRegistered: lambda s, a, e: crate.decide_publish(s, a, _like(e, CrateVersionPublished)),
    CrateVersionPublished: crate.decide_publish,
    CrateVersionYanked: lambda s, a, e: crate.decide_yank(s, a, e.name, e.version, True),
    CrateVersionUnyanked: lambda s, a, e: crate.decide_yank(s, a, e.name, e.version, False),
    CrateOwnerAdded: lambda s, a, e: crate.decide_owners(s, a, e.name, add=[e.owner]),
    CrateOwnerRemoved: lambda s, a, e: crate.decide_owners(s, a, e.name, remove=[e.owner]),
    NpmRegistered: lambda s, a, e: npm_package.decide_publish(
        s, a, _like(e, NpmVersionPublished), ["latest"]
    ),
    NpmVersionPublished: lambda s, a, e: npm_package.decide_publish(s, a, e, ["latest"]),
    NpmVersionSigned: lambda s, a, e: npm_package.decide_sign(s, a, {e.version: e.signature}),
    NpmVersionUnpublished: lambda s, a, e: npm_package.decide_unpublish(s, a, e.name, [e.version]),
    NpmUnpublished: lambda s, a, e: npm_package.decide_unpublish_all(s, a, e.name),
    NpmDistTagSet: lambda s, a, e: npm_package.decide_set_tag(s, a, e.name, e.dist_tag, e.version),
    NpmDistTagRemoved: lambda s, a, e: npm_package.decide_remove_tag(s, a, e.name, e.dist_tag),
    NpmVersionDeprecated: lambda s, a, e: npm_package.decide_deprecate(
        s, a, e.name, {e.version: e.message}
    ),
    NpmVersionUndeprecated: lambda s, a, e: npm_package.decide_deprecate(
        s, a, e.name, {e.version: ""}
    ),
    NpmOwnerAdded: lambda s, a, e: npm_package.decide_owners(s, a, e.name, [*s.owners, e.owner]),
    NpmOwnerRemoved: lambda s, a, e: npm_package.decide_owners(
        s, a, e.name, [one for one in s.owners if one != e.owner]
    ),
    NpmStarred: lambda s, a, e: npm_package.decide_star(s, a, e.name, True),
    NpmUnstarred: lambda s, a, e: npm_package.decide_star(s, a, e.name, False),
    BlobPurged: lambda s, a, e: (
        decide_purge_crate if isinstance(s, crate.Crate) else decide_purge_package
    )(s, a, e),
    AccountRegistered: lambda s, a, e: account.decide_register(s, a, e.name, e.role),
    AccountPasswordChanged: lambda s, a, e: account.decide_password(s, a, e.name),
    AccountDisabled: lambda s, a, e: account.decide_disable(s, a, e.name),
    TokenIssued: account.decide_issue,
    TokenRevoked: lambda s, a, e: account.decide_revoke(s, a, e.account, e.token_id),
    RegistryConfigured: lambda s, a, e: configuration.decide_configure(s, a, e.public_url),
}


def _like(event: Any, kind: type[Any]) -> Any:
    """The publish whose first event registers the package."""
    (example,) = [one.event for one in EVERYTHING if type(one.event) is kind][:1]
    return msgspec.structs.replace(example, name=event.name, by=event.by, at=event.at)


def decided(state: Any, event: Any, *, admin: bool) -> bool:
    """Whether one of today's commands begins with this event."""
    actor = Actor(event.at, event.by, event.token, event.request, admin=admin)
    with contextlib.suppress(RegistryError, AttributeError):
        found = DECIDE[type(event)](state, actor, event)
        return list(found[:1]) == [event]
    return False


def served(event: Any, history: Sequence[Recorded], *, admin: bool) -> bool:
    """Whether the surface lets such an account ask for it at all: what `decide_*` do not judge."""
    if admin:
        return True
    if isinstance(event, AccountRegistered) and event.role == "admin" and admins_of(history):
        return False
    if isinstance(event, AccountRegistered | AccountPasswordChanged):
        return bool(event.by == event.name)
    if isinstance(event, TokenIssued | TokenRevoked):
        return bool(event.by == event.account)
    return not isinstance(event, NpmVersionSigned | AccountDisabled | RegistryConfigured)


def of_its_manifest(event: Any) -> bool:
    """Whether a version is that of its manifest: what is read before `decide_*`."""
    if not isinstance(event, CrateVersionPublished | NpmVersionPublished):
        return True
    said = msgspec.json.decode(event.manifest)
    return (said["name"], said["version"]) == (event.name, event.version)


STRANGERS = [*PEOPLE, "mallory"]


def mutations(event: Any) -> Iterator[Event]:
    """The same event with another meaning."""
    changes: dict[str, list[Any]] = {
        "by": STRANGERS,
        "owner": STRANGERS,
        "version": [*VERSIONS, "9.9.9"],
        "dist_tag": ["latest", "next", "other"],
        "message": ["", "old", "another"],
        "name": [],
        "role": ["user", "admin", "king"],
        "token_id": ["another"],
        "public_url": ["http://c"],
    }
    for field, values in changes.items():
        for value in values:
            if hasattr(event, field) and getattr(event, field) != value:
                yield msgspec.structs.replace(event, **{field: value})
    for twin in TWINS.get(type(event), ()):
        fields = msgspec.structs.asdict(event)
        fields.setdefault("message", "old")
        wanted = {one: fields[one] for one in twin.__struct_fields__ if one in fields}
        yield twin(**wanted)


TWINS: dict[type[Event], list[type[Event]]] = {
    CrateVersionYanked: [CrateVersionUnyanked],
    CrateVersionUnyanked: [CrateVersionYanked],
    CrateOwnerAdded: [CrateOwnerRemoved],
    CrateOwnerRemoved: [CrateOwnerAdded],
    NpmStarred: [NpmUnstarred],
    NpmUnstarred: [NpmStarred],
    NpmVersionDeprecated: [NpmVersionUndeprecated, NpmVersionUnpublished],
    NpmVersionUndeprecated: [NpmVersionDeprecated],
    NpmVersionUnpublished: [NpmVersionUndeprecated, NpmVersionDeprecated],
    NpmOwnerAdded: [NpmOwnerRemoved],
    NpmOwnerRemoved: [NpmOwnerAdded],
    AccountPasswordChanged: [AccountDisabled],
    AccountDisabled: [AccountPasswordChanged],
}


@settings(max_examples=150, deadline=None)
@given(histories(max_size=60), st.data())
def test_a_changed_event_that_no_command_decides_is_found(
    history: list[Recorded], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, max(0, len(history) - 1)))
    assume(history)
    one = history[at]
    changed = data.draw(st.sampled_from([one.event, *mutations(one.event)]))
    before = [other for other in history[:at] if other.stream == one.stream]
    state: Any = reduce(evolve, [other.event for other in before], None)
    admin = changed.by in {"", *ADMINS} or changed.by in admins_of(history[:at])
    faults = faults_of([*history[:at], placed(one, changed)])
    if type(changed) in DECIDE:
        may = served(changed, history[:at], admin=admin) or also_possible(history, at, changed)
        possible = may and of_its_manifest(changed) and decided(state, changed, admin=admin)
        assert bool(faults) is not possible, (changed, state, faults)


def placed(one: Recorded, event: Event) -> Recorded:
    return msgspec.structs.replace(one, event=event)


def admins_of(history: Sequence[Recorded]) -> set[str]:
    named = (one.event for one in history)
    return {one.name for one in named if isinstance(one, AccountRegistered) and one.role == "admin"}


def also_possible(history: Sequence[Recorded], at: int, changed: Any) -> bool:
    """Whether it may belong to the command that gave the event before."""
    before = history[at - 1] if at else None
    return (
        before is not None
        and before.stream == history[at].stream
        and (before.event.at, before.event.by) == (changed.at, changed.by)
    )


def appended(event: Event, kind: AnyStream, name: str) -> list[str]:
    version = sum(one.stream == recorded(1, 1, event, kind, name).stream for one in EVERYTHING) + 1
    return faults_of([*EVERYTHING, recorded(len(EVERYTHING) + 1, version, event, kind, name)], [])


AT = "2026-11-21T11:00:00.000Z"
INSERTED: list[tuple[Event, AnyStream, str, str]] = [
    (
        CrateVersionYanked(at=AT, by="mallory", name="demo", version="2.0.0"),
        *(CRATES, "demo", "neither an owner nor an administrator"),
    ),
    (
        CrateOwnerAdded(at=AT, by="mallory", name="demo", owner="mallory"),
        *(CRATES, "demo", "neither an owner nor an administrator"),
    ),
    (
        AccountRoleChanged(at=AT, by="bob", name="bob", role="admin"),
        *(ACCOUNTS, "bob", "no administrator"),
    ),
    (
        AccountRegistered(at=AT, by="mallory", name="mallory", role="admin"),
        *(ACCOUNTS, "mallory", "made themselves an administrator"),
    ),
    (
        TokenIssued(at=AT, by="mallory", account="alice", token_id="x", sha256="y"),
        *(ACCOUNTS, "alice", "is not `alice`"),
    ),
    (
        TokenIssued(at=AT, by="ghost", account="ghost", token_id="x", sha256="y"),
        *(ACCOUNTS, "ghost", "nothing that it could be about"),
    ),
    (
        SigningKeyAdded(at=AT, keyid="first", key="k"),
        *(REGISTRY, "", "there already"),
    ),
    (
        SigningKeyRetired(at=AT, keyid="unknown", expires=AT),
        *(REGISTRY, "", "signs"),
    ),
    (
        NpmStarred(at=AT, by="mallory", name="gone"),
        *(PACKAGES, "gone", "nothing that it could be about"),
    ),
]


@pytest.mark.parametrize(("event", "kind", "name", "why"), INSERTED)
def test_what_somebody_else_appends_is_found(
    event: Event, kind: AnyStream, name: str, why: str
) -> None:
    (fault,) = appended(event, kind, name)
    assert why in fault


def test_a_token_acts_for_its_account_alone_and_within_its_rights() -> None:
    issued = TokenIssued(at=AT, by="bob", account="bob", token_id="t", sha256="s", read_only=True)
    log = [*EVERYTHING, recorded(len(EVERYTHING) + 1, 3, issued, ACCOUNTS, "bob")]
    for by, why in (("alice", "is not `alice`'s"), ("bob", "may only read")):
        yank = CrateVersionYanked(at=AT, by=by, token="t", name="demo", version="2.0.0")
        (fault,) = faults_of([*log, recorded(len(log) + 1, 9, yank, CRATES, "demo")], [])
        assert why in fault


def test_one_command_may_remove_its_own_author_and_others() -> None:
    def one(kind: type[Any], number: int, **fields: str) -> Recorded:
        event = kind(at=f"2026-11-21T11:00:0{number // 3}.000Z", by="ann", name="x", **fields)
        return recorded(number, number, event, CRATES, "x")

    log = [
        one(CrateRegistered, 1, owner="ann"),
        one(CrateOwnerAdded, 2, owner="ben"),
        one(CrateOwnerAdded, 3, owner="cat"),
        one(CrateOwnerRemoved, 4, owner="ann"),
        one(CrateOwnerRemoved, 5, owner="ben"),
    ]
    assert faults_of(log, []) == []
    late = msgspec.structs.replace(log[4].event, at="2026-11-21T12:00:00.000Z")
    (fault,) = faults_of([*log[:4], placed(log[4], late)], [])
    assert "`ann` was neither an owner" in fault


def test_time_that_goes_back_is_a_note_and_no_fault() -> None:
    def notes(*times: str) -> list[str]:
        rules = Rules()
        rules.follow(
            [
                recorded(number, number, DownloadsCounted(at=at, node="", counts={}), DOWNLOADS)
                for number, at in enumerate(times, 1)
            ]
        )
        assert list(rules.faults(_Empty(), lambda done, total: None)) == []
        return rules.notes()

    day = "2026-11-21T"
    assert notes(f"{day}10:00:00.000Z", f"{day}09:30:00.000Z", f"{day}10:00:01.000Z") == []
    (ahead,) = notes(f"{day}10:00:00.000Z", "2028-01-01T00:00:00.000Z", f"{day}10:00:01.000Z")
    assert "at position 3: from 2028" in ahead
    (back,) = notes(f"{day}10:00:00.000Z", "1970-01-01T00:00:00.000Z", f"{day}10:00:01.000Z")
    assert "at position 2" in back
    many = notes(*[f"{day}{hour}:00:00.000Z" for hour in ("10", "08") * 9])
    assert many[-1] == "time goes back 4 times more"
