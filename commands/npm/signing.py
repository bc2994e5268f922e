"""Registry signatures of npm versions: made once, by the command, and kept in its event.

The private keys are beside the log, in its database and its backup; the public ones are events.

Source: npm's documentation, "About registry signatures".
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from packledger.commands.registry import Registry
from packledger.domain import configuration
from packledger.domain.errors import Unavailable
from packledger.domain.events.npm import (
    NpmSignature,
    NpmUnpublished,
    NpmVersionPublished,
    NpmVersionSigned,
    NpmVersionUnpublished,
)
from packledger.domain.npm import package as npm_package
from packledger.domain.streams import PACKAGES, REGISTRY
from packledger.domain.times import rfc3339

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PAGE_EVENTS = 500
OVERLAP = timedelta(minutes=10)
"""How long a retired key is valid for what another process is signing with it just now."""


class BadSigningKey(Unavailable):
    """No npm version can be signed, so none is published."""

    def __init__(self, keyid: str, how: str) -> None:
        super().__init__(
            f"the npm signing key `{keyid}` is {how} beside the event log; restore it from a "
            "backup, or make another with `packledger signing-key rotate`"
        )


def sign(registry: Registry, name: str, version: str, integrity: str) -> NpmSignature | None:
    """Return the signature of a version, None while the registry has no key.

    integrity: exactly as it is served.
    """
    # Imported here: who never publishes is spared 8 MB.
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    state = registry.log.load(REGISTRY).state
    keyid = state.signing_keyid() if state else None
    if keyid is None:
        return None
    text = f"{name}@{version}:{integrity}"
    sig = _private_key(registry, keyid).sign(text.encode(), ECDSA(SHA256()))
    return NpmSignature(keyid, base64.b64encode(sig).decode())


def check_key(registry: Registry) -> None:
    """Check that versions can be signed, or need not be.

    Raises:
        BadSigningKey: the private key is lost, or damaged.
        Unavailable: the store cannot be read.
    """
    state = registry.log.load(REGISTRY).state
    keyid = state.signing_keyid() if state else None
    if keyid is not None:
        _private_key(registry, keyid)


def _private_key(registry: Registry, keyid: str) -> "EllipticCurvePrivateKey":
    """Return a private key; it is read once.

    Raises:
        BadSigningKey: it is lost, or damaged.
    """
    if keyid not in registry.signers:
        pem = registry.credentials.signing_key(keyid)
        if pem is None:
            raise BadSigningKey(keyid, "missing")
        registry.signers[keyid] = _loaded(pem, keyid)
    return registry.signers[keyid]


def _loaded(pem: str, keyid: str) -> "EllipticCurvePrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
        if isinstance(key, EllipticCurvePrivateKey) and _id_of(key) == keyid:
            return key  # loading has compared it with its public part, which is beside it
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass
    raise BadSigningKey(keyid, "damaged")


def ensure_key(registry: Registry) -> None:
    """Make the first key; does nothing where there is one."""
    state = registry.log.load(REGISTRY).state
    if state is not None and state.signing_keys:
        return
    keyid, public = _new_key(registry)
    actor = registry.actor("")
    registry.execute(
        REGISTRY,
        "",
        lambda state, _: configuration.decide_first_signing_key(state, actor, keyid, public),
    )


def rotate_key(registry: Registry, account: str = "") -> str:
    """Replace the key that signs and return the new one's id; what is signed stays valid.

    Raises:
        NotFound: there is no key yet.
    """
    keyid, public = _new_key(registry)
    actor = registry.actor(account)
    expires = rfc3339(registry.now() + OVERLAP)
    registry.execute(
        REGISTRY,
        "",
        lambda state, _: configuration.decide_rotate_signing_key(
            state, actor, keyid, public, expires
        ),
    )
    return keyid


def sign_unsigned(registry: Registry, account: str) -> int:
    """Sign every version that has no signature; return how many there were.

    Reads the log once, and keeps the unsigned versions of all packages in memory: 200 bytes each.
    """
    unsigned: dict[str, dict[str, str]] = {}
    position = 0
    while page := registry.log.read(position, PAGE_EVENTS):
        position = page[-1].position
        for event in (one.event for one in page):
            if isinstance(event, NpmVersionPublished) and not event.signatures:
                unsigned.setdefault(event.name, {})[event.version] = event.integrity
            elif isinstance(event, NpmVersionSigned | NpmVersionUnpublished):
                unsigned.get(event.name, {}).pop(event.version, None)
            elif isinstance(event, NpmUnpublished):
                unsigned.pop(event.name, None)
    return sum(_sign_package(registry, account, *one) for one in unsigned.items() if one[1])


def _sign_package(
    registry: Registry, account: str, name: str, integrities: Mapping[str, str]
) -> int:
    signatures = {
        version: signature
        for version, integrity in integrities.items()
        if (signature := sign(registry, name, version, integrity))
    }
    actor = registry.actor(account)
    recorded = registry.log.execute(
        PACKAGES,
        name,
        lambda state, _: npm_package.decide_sign(state, actor, signatures),
    )
    return len(recorded)


def _new_key(registry: Registry) -> tuple[str, str]:
    """Keep a new private key and return its id and public part, base64 of DER."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    keyid = _id_of(key)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Before the event that names it, like a blob.
    registry.credentials.add_signing_key(keyid, pem.decode())
    return keyid, base64.b64encode(_public_part(key)).decode()


def _public_part(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _id_of(key: "EllipticCurvePrivateKey") -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(_public_part(key)).digest()).decode()
