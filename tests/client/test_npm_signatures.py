"""Registry signatures as npm's and pnpm's own code verify them.

Source: npm's documentation, "About registry signatures".
"""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from npm_client import MODULES, NODE, NpmClient, npm_project, published
from npm_verbs import install
from processes import Finished, run
from running_registry import RunningRegistry

pytestmark = pytest.mark.client
ClientAs = Callable[[str, str], NpmClient]

# npm's `audit signatures` asks a host on the internet first; this is what it calls then.
_PACOTE = """
const [pacotePath, registry, spec, keys] = process.argv.slice(2)
const pacote = require(pacotePath)
const host = registry.replace(/^http:/, '')
const options = { registry, verifySignatures: true, cache: process.cwd() + '/cache' }
options[`${host}:_keys`] = JSON.parse(keys).keys.map(key => ({
  ...key, pemkey: `-----BEGIN PUBLIC KEY-----\\n${key.key}\\n-----END PUBLIC KEY-----`,
}))
pacote.manifest(spec, options).then(
  manifest => console.log(`verified ${manifest._signatures.length}`),
  error => { console.log(error.code); process.exit(1) },
)
"""


def verify(
    registry: RunningRegistry, folder: Path, spec: str, keys: str, *, fails: bool = False
) -> Finished:
    script = folder / "verify.cjs"
    script.write_text(_PACOTE)
    pacote = MODULES / "npm" / "node_modules" / "pacote"
    command = [NODE, str(script), str(pacote), registry.npm, spec, keys]
    return run(command, cwd=folder, env=dict(os.environ), fails=fails)


def test_pnpm_verifies_what_was_published(
    registry: RunningRegistry, client_as: ClientAs, tmp_path: Path
) -> None:
    published(registry, "signed", "1.0.0")
    published(registry, "@acme/signed", "2.0.0")
    wanted = {"signed": "1", "@acme/signed": "2"}
    app = npm_project(tmp_path, {"name": "app", "version": "1.0.0", "dependencies": wanted})
    pnpm = client_as("pnpm", "")
    install(pnpm, app)
    said = pnpm("audit", "signatures", cwd=app).text
    assert "2 packages have verified registry signatures" in said, said


def test_npms_own_library_verifies_and_notices_what_was_changed(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    published(registry, "sealed", "1.0.0")
    keys = registry.http.get("/npm/-/npm/v1/keys").text
    assert verify(registry, tmp_path, "sealed@1.0.0", keys).text.strip() == "verified 1"
    other = json.loads(keys)
    other["keys"][0]["key"] = _another_key()
    said = verify(registry, tmp_path, "sealed@1.0.0", json.dumps(other), fails=True)
    assert said.text.strip() == "EINTEGRITYSIGNATURE"
    other["keys"][0]["keyid"] = "SHA256:another"
    said = verify(registry, tmp_path, "sealed@1.0.0", json.dumps(other), fails=True)
    assert said.text.strip() == "EMISSINGSIGNATUREKEY"


def test_signatures_outlive_the_key_that_made_them(
    registry: RunningRegistry, tmp_path: Path
) -> None:
    published(registry, "rotated", "1.0.0")
    old = registry.http.get("/npm/-/npm/v1/keys").json()["keys"][-1]["keyid"]
    registry.cli("signing-key", "rotate")
    published(registry, "rotated", "1.0.1")
    keys = registry.http.get("/npm/-/npm/v1/keys")
    ids = [key["keyid"] for key in keys.json()["keys"] if key["expires"] is None]
    assert ids != [old]
    for version in ("1.0.0", "1.0.1"):
        assert verify(registry, tmp_path, f"rotated@{version}", keys.text).text == "verified 1\n"


def _another_key() -> str:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()
