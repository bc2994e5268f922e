"""npm signatures: they verify, they are made once, and a rebuild needs no key."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from packledger.commands.npm import signing
from packledger.domain.accounts.actor import Actor
from packledger.domain.configuration import decide_rotate_signing_key
from packledger.domain.errors import NotFound, Unavailable
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.npm import package as npm_package
from packledger.domain.streams import PACKAGES
from packledger.projections.packuments.reads import PublicKey, full_of, signing_keys_of
from small_registry import SmallRegistry, memory_folder


@pytest.fixture
def small() -> Iterator[SmallRegistry]:
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        yield small


def keys(small: SmallRegistry) -> list[PublicKey]:
    small.catch_up()
    return signing_keys_of(small.reader("packuments").db())


def dist(small: SmallRegistry, version: str) -> dict[str, Any]:
    small.catch_up()
    body = full_of(small.reader("packuments").db(), "demo", None)
    assert body is not None
    found: dict[str, Any] = msgspec.json.decode(body)["versions"][version]["dist"]
    return found


def check(small: SmallRegistry, version: str) -> str:
    """Verify a version as a client does, and return the id of the key."""
    shown = dist(small, version)
    (signature,) = shown["signatures"]
    (key,) = (one for one in keys(small) if one.keyid == signature["keyid"])
    der = base64.b64decode(key.key)
    assert key.keyid == "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
    public = load_der_public_key(der)
    assert isinstance(public, EllipticCurvePublicKey)
    text = f"demo@{version}:{shown['integrity']}"
    public.verify(base64.b64decode(signature["sig"]), text.encode(), ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature["sig"]), b"other", ECDSA(SHA256()))
    return key.keyid


def test_what_is_published_is_signed(small: SmallRegistry) -> None:
    small.publish_npm("alice", "demo", "1.0.0")
    (key,) = keys(small)
    assert check(small, "1.0.0") == key.keyid
    assert key.expires is None


def test_a_rotated_key_signs_no_more_and_its_signatures_stay_valid(small: SmallRegistry) -> None:
    small.publish_npm("alice", "demo", "1.0.0")
    (old,) = keys(small)
    new = signing.rotate_key(small.registry, "root")
    small.publish_npm("alice", "demo", "1.0.1")
    assert check(small, "1.0.0") == old.keyid
    assert check(small, "1.0.1") == new != old.keyid
    retired, active = keys(small)
    assert (retired.keyid, active.keyid, active.expires) == (old.keyid, new, None)
    published = [
        event
        for event in small.log.stream(PACKAGES, "demo")
        if isinstance(event, NpmVersionPublished)
    ]
    assert retired.expires is not None
    assert all(event.at < retired.expires for event in published), "or npm calls it expired"


def publish_unsigned(small: SmallRegistry, version: str) -> None:
    """Publish another version as a release without signatures did."""
    published = next(
        event
        for event in small.log.stream(PACKAGES, "demo")
        if isinstance(event, NpmVersionPublished)
    )
    event = msgspec.structs.replace(published, version=version, signatures=())
    actor = small.actor("alice")
    small.registry.execute(
        PACKAGES, "demo", lambda state, _: npm_package.decide_publish(state, actor, event, ["old"])
    )


def test_versions_from_before_there_was_a_key_can_be_signed(small: SmallRegistry) -> None:
    small.publish_npm("alice", "demo", "1.0.0")
    for version in ("0.8.0", "0.9.0", "0.9.1"):
        publish_unsigned(small, version)
    assert "signatures" not in dist(small, "0.9.0")
    actor = small.actor("alice")
    small.registry.execute(
        PACKAGES,
        "demo",
        lambda state, _: npm_package.decide_unpublish(state, actor, "demo", ["0.8.0"]),
    )
    before = dist(small, "1.0.0")
    assert signing.sign_unsigned(small.registry, "root") == 2
    for version in ("0.9.0", "0.9.1", "1.0.0"):
        check(small, version)
    assert dist(small, "1.0.0") == before
    position = small.log.last_position()
    assert signing.sign_unsigned(small.registry, "root") == 0
    assert small.log.last_position() == position
    small.catch_up()
    assert small.rebuild("packuments", check=True).differences == []


def test_the_first_key_is_made_once(small: SmallRegistry) -> None:
    position = small.log.last_position()
    signing.ensure_key(small.registry)
    small.switch()
    signing.ensure_key(small.registry)
    assert small.log.last_position() == position
    assert len(keys(small)) == 1


def test_nothing_is_rotated_before_there_is_a_key() -> None:
    with pytest.raises(NotFound, match="no signing key yet"):
        decide_rotate_signing_key(None, Actor("", "root"), "id", "key", "")


def test_a_key_that_is_lost_refuses_the_publish(small: SmallRegistry) -> None:
    small.registry.credentials._table.change("DELETE FROM signing_keys")
    with pytest.raises(Unavailable, match="signing-key rotate"):
        small.publish_npm("alice", "demo", "1.0.0")
    assert small.log.stream(PACKAGES, "demo") == []
    signing.rotate_key(small.registry)
    small.publish_npm("alice", "demo", "1.0.0")
    check(small, "1.0.0")
