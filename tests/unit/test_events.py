"""What is stored never changes its name or its fields; the list may only grow."""

import re

import msgspec
import pytest

from packledger.domain import events
from packledger.domain.events import EVENTS
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.event import Event, encode, tag_of
from packledger.domain.streams import CRATES
from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.mapper import DECODERS, decode_event

EVERY = ("at: str", "by: str = ''", "request: str = ''", "token: str = ''")
CREDENTIAL = "credential: str | msgspec.UnsetType = UNSET"

PINNED: dict[str, tuple[str, ...]] = {
    "crate.registered.v1": ("name: str", "owner: str"),
    "crate.version_published.v1": (
        "cksum: str",
        "manifest: Raw",
        "name: str",
        "published_at: str = ''",
        "readme: str = ''",
        "size_bytes: int",
        "version: str",
    ),
    "crate.version_yanked.v1": ("name: str", "version: str"),
    "crate.version_unyanked.v1": ("name: str", "version: str"),
    "crate.owner_added.v1": ("name: str", "owner: str"),
    "crate.owner_removed.v1": ("name: str", "owner: str"),
    "npm.registered.v1": ("name: str", "owner: str"),
    "npm.version_published.v1": (
        "file_count: int",
        "integrity: str",
        "maintainers: tuple[str, ...]",
        "manifest: Raw",
        "name: str",
        "published_at: str = ''",
        "readme: str = ''",
        "readme_filename: str = ''",
        "shasum: str",
        "signatures: tuple[NpmSignature, ...] = ()",
        "size_bytes: int",
        "tarball: str",
        "unpacked_bytes: int",
        "version: str",
    ),
    "npm.version_unpublished.v1": ("name: str", "version: str"),
    "npm.version_signed.v1": ("name: str", "signature: NpmSignature", "version: str"),
    "npm.unpublished.v1": ("name: str",),
    "npm.dist_tag_set.v1": ("dist_tag: str", "name: str", "version: str"),
    "npm.dist_tag_removed.v1": ("dist_tag: str", "name: str"),
    "npm.version_deprecated.v1": ("message: str", "name: str", "version: str"),
    "npm.version_undeprecated.v1": ("name: str", "version: str"),
    "npm.owner_added.v1": ("name: str", "owner: str"),
    "npm.owner_removed.v1": ("name: str", "owner: str"),
    "npm.starred.v1": ("name: str",),
    "npm.unstarred.v1": ("name: str",),
    "blob.purged.v1": (
        "digest: str",
        "ecosystem: str",
        "name: str",
        "readme: str = ''",
        "reason: str",
        "version: str",
    ),
    "account.registered.v1": (CREDENTIAL, "name: str", "role: str"),
    "account.password_changed.v1": (CREDENTIAL, "name: str"),
    "account.role_changed.v1": ("name: str", "role: str"),
    "account.disabled.v1": ("name: str",),
    "account.enabled.v1": ("name: str",),
    "token.issued.v1": (
        "account: str",
        "cidr: tuple[str, ...] | msgspec.UnsetType = UNSET",
        "expires: str = ''",
        "label: str = ''",
        "packages: tuple[str, ...] = ()",
        "read_only: bool = False",
        "scopes: tuple[str, ...] = ()",
        "sha256: str",
        "token_id: str",
    ),
    "account.session_begun.v1": (
        "expires: str",
        "name: str",
        "session_id: str",
        "sha256: str",
    ),
    "account.session_ended.v1": ("name: str", "session_id: str"),
    "token.revoked.v1": ("account: str", "token_id: str"),
    "downloads.counted.v1": ("counts: dict[str, int]", "node: str"),
    "registry.configured.v1": ("public_url: str",),
    "registry.signing_key_added.v1": ("key: str", "keyid: str"),
    "registry.signing_key_retired.v1": ("expires: str", "keyid: str"),
}

STORED = b"""\
{"type":"crate.version_published.v1","name":"demo","version":"1.0.0","cksum":"ab","size_bytes":9,\
"manifest":{"name":"demo","version":"1.0.0"},"readme":"","published_at":"",\
"at":"2026-11-21T10:00:00.000Z","by":"alice","token":"t","request":"r"}"""


def described(kind: type[Event]) -> tuple[str, ...]:
    """Name, type and default of every field."""
    found = []
    for field in msgspec.structs.fields(kind):
        shown = field.type.__name__ if isinstance(field.type, type) else str(field.type)
        if getattr(field.type, "__args__", None):
            shown = re.sub(r"packledger\.[a-z_.]+", "", str(field.type))  # modules may move
        default = "" if field.required else f" = {field.default!r}"
        found.append(f"{field.encode_name}: {shown}{default}")
    return tuple(sorted(found))


@pytest.mark.parametrize("tag", PINNED)
def test_the_fields_of_a_published_tag_never_change(tag: str) -> None:
    assert described(EVENTS[tag]) == tuple(sorted([*EVERY, *PINNED[tag]]))


def test_every_event_is_pinned() -> None:
    assert EVENTS.keys() == PINNED.keys(), "pin a new event's fields here; never change old ones"


def test_every_event_that_is_written_down_is_listed() -> None:
    written = {
        kind for kind in Event.__subclasses__() if kind.__module__.startswith(events.__name__)
    }
    assert set(EVENTS.values()) == written, "add a new event to the union of its module"


def test_every_event_can_be_decoded_and_says_its_own_tag() -> None:
    assert DECODERS.keys() >= EVENTS.keys()
    assert all(tag_of(kind) == tag for tag, kind in EVENTS.items())


def test_stored_bytes_are_canonical_and_read_back() -> None:
    event = decode_event("crate.version_published.v1", STORED)
    assert isinstance(event, CrateVersionPublished)
    assert bytes(event.manifest) == b'{"name":"demo","version":"1.0.0"}'
    assert encode(event) == STORED


@pytest.mark.parametrize(
    "stored",
    [
        b'{"type":"account.registered.v1","name":"ann","role":"user","at":"","by":"","token":"",'
        b'"request":""}',
        b'{"type":"account.password_changed.v1","name":"ann","at":"","by":"","token":"",'
        b'"request":""}',
    ],
)
def test_an_account_from_before_there_were_digests_is_read_and_written_alike(stored: bytes) -> None:
    tag = stored.split(b'"')[3].decode()
    assert encode(decode_event(tag, stored)) == stored


def test_an_event_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(DamagedLog):
        decode_event("crate.version_published.v1", STORED.replace(b'"by":', b'"extra":1,"by":'))


def test_bytes_under_another_tag_are_refused() -> None:
    with pytest.raises(DamagedLog):
        decode_event("crate.version_yanked.v1", STORED)


def test_an_event_of_another_kind_of_stream_is_a_programmers_mistake() -> None:
    registered = EVENTS["crate.registered.v1"](at="", name="demo", owner="alice")  # type: ignore[call-arg]
    starred = EVENTS["npm.starred.v1"](at="", name="demo")  # type: ignore[call-arg]
    state = CRATES.fold(None, [registered])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        CRATES.fold(state, [starred])  # type: ignore[list-item]
