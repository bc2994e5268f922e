"""Bodies of `cargo publish` and `npm publish` as clients send them: 20 KB archives of 12 files."""

import base64
import gzip
import hashlib
import io
import json
import random
import struct
import tarfile

from generated_log import WORDS, npm_manifest

ARCHIVE_BYTES = 20_000
FILES = 10


def crate_body(name: str, version: str, chance: random.Random) -> bytes:
    """Return the body of `PUT /cargo/api/v1/crates/new`."""
    packed = _archive(name, f"{name}-{version}", "Cargo.toml", _cargo_toml(name, version), chance)
    metadata = json.dumps({"name": name, "vers": version, "deps": [], "features": {}}).encode()
    return b"".join(
        (struct.pack("<I", len(metadata)), metadata, struct.pack("<I", len(packed)), packed)
    )


def npm_body(name: str, version: str, chance: random.Random) -> bytes:
    """Return the body of `PUT /npm/<name>`; its manifest has about 2 KB."""
    manifest = npm_manifest(name, version, chance, dependencies=len(WORDS) - 3)
    packed = _archive(name, "package", "package.json", json.dumps(manifest, indent=2), chance)
    integrity = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    dist = {
        "integrity": f"sha512-{integrity}",
        "shasum": hashlib.sha1(packed, usedforsecurity=False).hexdigest(),
        "tarball": f"http://registry.example.com/npm/{name}/-/{name}-{version}.tgz",
    }
    document = {
        "_id": name,
        "name": name,
        "description": manifest["description"],
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


def _cargo_toml(name: str, version: str) -> str:
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
    )


def _archive(name: str, folder: str, manifest: str, text: str, chance: random.Random) -> bytes:
    """Return a tar.gz of about `ARCHIVE_BYTES`: a manifest, a README, sources."""
    # random words compress to a quarter, like source code
    source_bytes = ARCHIVE_BYTES * 43 // 10 // FILES
    # as a rule a version's README is that of the version before
    readme = f"# {name}\n\n".encode() + _words(3_000, random.Random(name))
    members = {manifest: text.encode(), "README.md": readme}
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
