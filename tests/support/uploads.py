"""Crates, npm tarballs and publish bodies made by hand, so that a test can make them wrong."""

import base64
import gzip
import hashlib
import io
import json
import struct
import tarfile
from typing import Any

Members = dict[str, bytes]


def tar_gz(members: Members) -> bytes:
    """A gzipped tar of regular files, always the same bytes for the same members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def crate(name: str, vers: str, manifest: str = "", package: str = "", **files: bytes) -> bytes:
    """A `.crate`; `package` goes into [package], `manifest` after it; `files` into the root."""
    cargo_toml = (
        f'[package]\nname = "{name}"\nversion = "{vers}"\nedition = "2021"\n'
        f'{package}\n[lib]\npath = "src/lib.rs"\n{manifest}\n'
    )
    members = {"Cargo.toml": cargo_toml.encode(), "src/lib.rs": b"pub fn it() -> u32 { 1 }\n"}
    return tar_gz({f"{name}-{vers}/{path}": data for path, data in (members | files).items()})


def crate_body(metadata: dict[str, Any] | bytes, packed: bytes) -> bytes:
    """The body of `PUT /crates/new`: two little-endian lengths, each before its part."""
    text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    return struct.pack("<I", len(text)) + text + struct.pack("<I", len(packed)) + packed


def new_crate(name: str, vers: str, manifest: str = "", **more: Any) -> bytes:
    """A whole, honest publish body of a small crate."""
    return crate_body({"name": name, "vers": vers}, crate(name, vers, manifest, **more))


def tarball(package_json: dict[str, Any], **files: bytes) -> bytes:
    """An npm `.tgz` with this package.json and an index.js."""
    members = {"package.json": json.dumps(package_json).encode(), "index.js": b"exports.it = 1\n"}
    return tar_gz({f"package/{path}": data for path, data in (members | files).items()})


def dist(packed: bytes, url: str = "http://registry.example.com/x.tgz") -> dict[str, Any]:
    integrity = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    shasum = hashlib.sha1(packed, usedforsecurity=False).hexdigest()
    return {"integrity": f"sha512-{integrity}", "shasum": shasum, "tarball": url}


def npm_body(
    manifest: dict[str, Any], packed: bytes | None = None, tag: str = "latest"
) -> dict[str, Any]:
    """The document that `npm publish` PUTs; `packed` defaults to an honest tarball."""
    packed = tarball(manifest) if packed is None else packed
    name, version = manifest["name"], manifest["version"]
    return {
        "_id": name,
        "name": name,
        "dist-tags": {tag: version},
        "versions": {version: {**manifest, "_id": f"{name}@{version}", "dist": dist(packed)}},
        "access": None,
        "_attachments": {
            f"{name}-{version}.tgz": {
                "content_type": "application/octet-stream",
                "data": base64.b64encode(packed).decode(),
                "length": len(packed),
            }
        },
    }
