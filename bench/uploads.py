"""Bodies of `cargo publish` and `npm publish` as clients send them: 20 KB archives of 12 files."""

import base64
import gzip
import hashlib
import io
import json
import random
import struct
import tarfile
from typing import Any

from generated_log import WORDS, npm_manifest

ARCHIVE_BYTES = 20_000
FILES = 10


def crate_body(name: str, version: str, chance: random.Random, more_bytes: int = 0) -> bytes:
    """Return the body of `PUT /cargo/api/v1/crates/new`; more_bytes do not compress."""
    members = {"Cargo.toml": _cargo_toml(name, version), "more": chance.randbytes(more_bytes)}
    packed = _archive(name, f"{name}-{version}", members, chance)
    return crate_upload(name, version, packed)


def crate_upload(name: str, version: str, packed: bytes) -> bytes:
    """Return the body of `PUT /cargo/api/v1/crates/new` for a `.crate`."""
    metadata = json.dumps({"name": name, "vers": version, "deps": [], "features": {}}).encode()
    return b"".join(
        (struct.pack("<I", len(metadata)), metadata, struct.pack("<I", len(packed)), packed)
    )


def npm_body(name: str, version: str, chance: random.Random, more_bytes: int = 0) -> bytes:
    """Return the body of `PUT /npm/<name>`; its manifest has about 2 KB; more_bytes as above."""
    manifest = npm_manifest(name, version, chance, dependencies=len(WORDS) - 3)
    text = json.dumps(manifest, indent=2).encode()
    members = {"package.json": text, "more": chance.randbytes(more_bytes)}
    packed = _archive(name, "package", members, chance)
    return npm_document(manifest, packed)


def npm_document(manifest: dict[str, Any], packed: bytes) -> bytes:
    """Return the body of `PUT /npm/<name>` for a tarball and its package.json."""
    name, version = manifest["name"], manifest["version"]
    integrity = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    dist = {
        "integrity": f"sha512-{integrity}",
        "shasum": hashlib.sha1(packed, usedforsecurity=False).hexdigest(),
        "tarball": f"http://registry.example.com/npm/{name}/-/{name}-{version}.tgz",
    }
    document = {
        "_id": name,
        "name": name,
        "description": manifest.get("description", ""),
        "dist-tags": {"latest": version},
        "versions": {version: {**manifest, "dist": dist, "readme": "# A package"}},
        "access": None,
        "_attachments": {
            f"{name}-{version}.tgz": {
                "content_type": "application/octet-stream",
                "data": base64.b64encode(packed).decode(),
                "length": len(packed),
            }
        },
    }
    return json.dumps(document).encode()


def _cargo_toml(name: str, version: str) -> bytes:
    dependencies = "".join(
        f'[dependencies.{word}-core]\nversion = "1.2.3"\nfeatures = ["std"]\noptional = true\n\n'
        for word in WORDS[:16]
    )
    features = "".join(f'with-{word} = ["dep:{word}-core"]\n' for word in WORDS[:16])
    return (
        f'[package]\nedition = "2021"\nname = "{name}"\nversion = "{version}"\n'
        'description = "fast small parser"\nlicense = "MIT OR Apache-2.0"\nreadme = "README.md"\n'
        f'repository = "https://git.example.com/{name}"\nkeywords = ["fast", "parser"]\n\n'
        f'[lib]\nname = "{name.replace("-", "_")}"\npath = "src/lib.rs"\n\n'
        f"[features]\ndefault = []\n{features}\n{dependencies}"
    ).encode()


def _archive(name: str, folder: str, members: dict[str, bytes], chance: random.Random) -> bytes:
    """Return a tar.gz of about `ARCHIVE_BYTES`: a README, sources, and other members."""
    # random words compress to a quarter, like source code
    source_bytes = ARCHIVE_BYTES * 43 // 10 // FILES
    # as a rule a version's README is that of the version before
    readme = f"# {name}\n\n".encode() + _words(3_000, random.Random(name))
    members = {path: content for path, content in members.items() if content}
    members |= {"README.md": readme}
    members |= {f"src/part{number}.txt": _words(source_bytes, chance) for number in range(FILES)}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in members.items():
            entry = tarfile.TarInfo(f"{folder}/{path}")
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), compresslevel=6, mtime=0)


def _words(size_bytes: int, chance: random.Random) -> bytes:
    return " ".join(chance.choices(WORDS, k=size_bytes // 6)).encode()
