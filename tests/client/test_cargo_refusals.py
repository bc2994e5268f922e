"""Uploads that must not pass: each gets a sentence in cargo's format, and nothing becomes visible.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish
"""

import gzip
import io
import json
import socket
import struct
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cargo_client import put_crate
from running_registry import RunningRegistry
from uploads import crate, crate_body, new_crate, tar_gz

pytestmark = pytest.mark.client

MIB = 1024 * 1024
HONEST = b'[package]\nname = "refused"\nversion = "1.0.0"\nedition = "2021"\n'
ROOT = "refused-1.0.0"
METADATA = {"name": "refused", "vers": "1.0.0"}


def refusal(answer: httpx.Response) -> str:
    """The sentence of a refusal; it must be one."""
    assert 400 <= answer.status_code < 500, answer.text
    (error,) = answer.json()["errors"]
    detail: str = error["detail"]
    assert len(detail.split()) >= 3, detail
    return detail


def invisible(registry: RunningRegistry, name: str = "refused", vers: str = "1.0.0") -> None:
    lower = name.lower()
    folder = {1: "1", 2: "2", 3: f"3/{lower[0]}"}.get(len(lower), f"{lower[:2]}/{lower[2:4]}")
    assert registry.http.get(f"/cargo/index/{folder}/{lower}").status_code == 404
    assert registry.http.get(f"/cargo/crates/{name}/{vers}/download").status_code == 404
    assert registry.http.get(f"/cargo/api/v1/crates?q={name}").json()["crates"] == []


def archive(*entries: tuple[tarfile.TarInfo, bytes], format_: int = tarfile.USTAR_FORMAT) -> bytes:
    """An honest crate with these entries after its manifest."""
    manifest = tarfile.TarInfo(f"{ROOT}/Cargo.toml")
    manifest.size = len(HONEST)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format_) as tar:
        tar.addfile(manifest, io.BytesIO(HONEST))
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def entry(name: str, content: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def link(kind: bytes, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(f"{ROOT}/link", b"", type=kind, linkname=target)


MANIFEST = {f"{ROOT}/Cargo.toml": HONEST}
ARCHIVES = {
    "another top folder": tar_gz({"other-1.0.0/Cargo.toml": HONEST}),
    "a second top folder": tar_gz({**MANIFEST, "other/file": b"x"}),
    "a parent folder": archive(entry(f"{ROOT}/../evil")),
    "an absolute path": archive(entry("/tmp/evil")),
    "a symlink": archive(link(tarfile.SYMTYPE, "/etc/passwd")),
    "a symlink within": archive(link(tarfile.SYMTYPE, "Cargo.toml")),
    "a hard link": archive(link(tarfile.LNKTYPE, f"{ROOT}/Cargo.toml")),
    "a character device": archive(link(tarfile.CHRTYPE, "")),
    "a block device": archive(link(tarfile.BLKTYPE, "")),
    "a pipe": archive(link(tarfile.FIFOTYPE, "")),
    "a duplicate path": archive(entry(f"{ROOT}/a"), entry(f"{ROOT}/a", b"y")),
    "a second manifest": archive(entry(f"{ROOT}/Cargo.toml", HONEST + b"#")),
    "a manifest in another case": archive(entry(f"{ROOT}/cargo.TOML", HONEST)),
    "a pax size unlike the header": archive(
        entry(f"{ROOT}/a", b"x" * 600, pax_headers={"size": "3"}), format_=tarfile.PAX_FORMAT
    ),
    "cargo's own marker": archive(entry(f"{ROOT}/.cargo-ok")),
    "a path that is no text": archive(entry(f"{ROOT}/\udcff")),
    "no manifest": tar_gz({f"{ROOT}/src/lib.rs": b""}),
    "a manifest that is no TOML": tar_gz({f"{ROOT}/Cargo.toml": b"[package"}),
    "a manifest that is no text": tar_gz({f"{ROOT}/Cargo.toml": b"\xff\xfe"}),
    "no gzip": b"refused",
    "nothing": b"",
    "gzip of no tar": gzip.compress(b"refused" * 1000),
    "a cut gzip": archive(entry(f"{ROOT}/a", b"abc" * 5000))[:-20],
    "a changed byte": archive(entry(f"{ROOT}/a"))[:-8] + b"\0" * 8,
}  # fmt: skip


@pytest.mark.parametrize("packed", ARCHIVES.values(), ids=ARCHIVES.keys())
def test_an_archive_with_something_unsafe_is_refused(
    registry: RunningRegistry, packed: bytes
) -> None:
    refusal(put_crate(registry, crate_body(METADATA, packed)))
    invisible(registry)


def test_the_archives_above_differ_from_an_accepted_one_only_in_what_they_are_refused_for(
    registry: RunningRegistry,
) -> None:
    manifest = HONEST.replace(b"refused", b"accepted")
    packed = tar_gz({"accepted-1.0.0/Cargo.toml": manifest, "accepted-1.0.0/a": b"x"})
    answer = put_crate(registry, crate_body({"name": "accepted", "vers": "1.0.0"}, packed))
    assert answer.status_code == 200, answer.text


GOOD = new_crate("refused", "1.0.0")
JSON = json.dumps(METADATA).encode()
PACKED = crate("refused", "1.0.0")
BODIES = {
    "nothing": b"",
    "half a length": b"\x01\x00",
    "a length alone": struct.pack("<I", 10),
    "JSON longer than the body": struct.pack("<I", 10**9) + JSON,
    "JSON cut short": struct.pack("<I", len(JSON) - 5) + JSON[:-5] + struct.pack("<I", 0),
    "a crate cut short": GOOD[:-10],
    "something after the crate": GOOD + b"more",
    "JSON over 1 MiB": crate_body({**METADATA, "readme": "x" * MIB}, PACKED),
    "a list for an object": crate_body(b"[]", PACKED),
    "no JSON": crate_body(b"\xff\xfe", PACKED),
    "no name": crate_body({"vers": "1.0.0"}, PACKED),
    "a number for a name": crate_body({"name": 7, "vers": "1.0.0"}, PACKED),
    "deep JSON": crate_body(b"[" * 100_000, PACKED),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_whose_parts_do_not_add_up_is_refused(
    registry: RunningRegistry, body: bytes
) -> None:
    refusal(put_crate(registry, body))
    invisible(registry)


@pytest.mark.parametrize("said", [{"name": "other"}, {"vers": "2.0.0"}], ids=["name", "version"])
def test_a_request_that_disagrees_with_its_own_tarball_is_refused(
    registry: RunningRegistry, said: dict[str, str]
) -> None:
    refusal(put_crate(registry, crate_body(METADATA | said, PACKED)))
    for name in ("refused", "other"):
        invisible(registry, name)


NAMES = ["std", "nul", "COM1", "new", "core", "1digit", "-x", "a.b", "ä", "a" * 65, ""]


@pytest.mark.parametrize("name", NAMES)
def test_a_reserved_or_impossible_name_is_refused(registry: RunningRegistry, name: str) -> None:
    detail = refusal(put_crate(registry, new_crate(name, "1.0.0")))
    assert f"`{name}`" in detail
    found = registry.http.get("/cargo/api/v1/crates", params={"q": name}).json()["crates"]
    assert name not in [crate["name"] for crate in found]


@pytest.mark.parametrize("vers", ["1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "", "1.0.0-", "x"])
def test_a_version_that_is_not_semver_is_refused(registry: RunningRegistry, vers: str) -> None:
    assert f"`{vers}`" in refusal(put_crate(registry, new_crate("refused", vers)))
    invisible(registry)


MANIFESTS = {
    "a feature of an absent dependency": '[features]\na = ["absent/f"]\n',
    "an absent optional dependency": '[features]\na = ["dep:absent"]\n',
    "an absent feature": '[features]\na = ["absent"]\n',
    "a feature name with a space": '[features]\n"a b" = []\n',
    "a requirement that is none": '[dependencies]\nd = "one"\n',
    "a dependency on no name": '[dependencies]\n"a b" = "1"\n',
    "a dependency of no registry": (
        '[dependencies.d]\nversion = "1"\nregistry-index = "nowhere at all"\n'
    ),
    "what is left of a workspace": "[dependencies]\nd = { workspace = true }\n",
}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_that_cargo_could_not_use_later_is_refused(
    registry: RunningRegistry, manifest: str
) -> None:
    refusal(put_crate(registry, new_crate("refused", "1.0.0", manifest)))
    invisible(registry)


@pytest.mark.parametrize("rust", ["^1.60", "1.60-beta", "x", "1.60.0.0"])
def test_a_rust_version_that_would_spoil_the_line_is_refused(
    registry: RunningRegistry, rust: str
) -> None:
    body = new_crate("refused", "1.0.0", package=f'rust-version = "{rust}"')
    assert f"`{rust}`" in refusal(put_crate(registry, body))
    invisible(registry)


def test_without_a_token_nothing_is_read_and_nothing_stored(registry: RunningRegistry) -> None:
    answer = registry.http.put("/cargo/api/v1/crates/new", content=GOOD)
    assert answer.status_code in {401, 403}
    refusal(answer)
    invisible(registry)


def test_an_announced_body_over_the_limit_is_refused_unread(
    start_registry: Callable[..., RunningRegistry],
) -> None:
    registry = start_registry(max_crate_bytes=MIB)
    with socket.create_connection(("127.0.0.1", registry.port), timeout=30) as connection:
        connection.sendall(
            b"PUT /cargo/api/v1/crates/new HTTP/1.1\r\nHost: registry.example.com\r\n"
            b"Authorization: " + registry.tokens["alice"].encode() + b"\r\n"
            b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (3 * MIB)
        )
        status = connection.makefile("rb").readline()
    assert status.startswith(b"HTTP/1.1 413 "), status
    # One byte over, announced or not: counted while it streams.
    over = crate_body(METADATA, b"\0" * (MIB + 1))
    assert refusal(put_crate(registry, over))
    streamed = registry.http.put(
        "/cargo/api/v1/crates/new",
        content=iter([over[:MIB], over[MIB:] + b"\0" * MIB]),
        headers=registry.token(),
    )
    assert streamed.status_code == 413, streamed.text
    invisible(registry)


def bomb(size_bytes: int) -> bytes:
    """A crate that unpacks to `size_bytes` of zeros."""
    info = tarfile.TarInfo(f"{ROOT}/zeros")
    info.size = size_bytes
    manifest = tarfile.TarInfo(f"{ROOT}/Cargo.toml")
    manifest.size = len(HONEST)
    squeezed = zlib.compressobj(1, wbits=31)
    head = manifest.tobuf() + HONEST.ljust(512, b"\0") + info.tobuf()
    parts = [squeezed.compress(head)]
    parts += [squeezed.compress(bytes(MIB)) for _ in range(size_bytes // MIB)]
    return b"".join([*parts, squeezed.compress(bytes(1024)), squeezed.flush()])


def peak_memory_bytes(leader: int) -> int:
    """The largest resident size that any process of the server ever had."""
    peaks = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
            session = status.with_name("stat").read_text().rpartition(")")[2].split()[3]
        except OSError:  # it ended meanwhile
            continue
        if int(session) == leader and "VmHWM" in fields:
            peaks.append(int(fields["VmHWM"].split()[0]) * 1024)
    return max(peaks)


def test_a_bomb_is_refused_quickly_in_little_memory_and_leaves_nothing(
    start_registry: Callable[..., RunningRegistry],
) -> None:
    registry = start_registry()
    packed = bomb(540 * MIB)
    assert len(packed) < 3 * MIB
    size_before = stored_bytes(registry.data)
    started = time.monotonic()
    refusal(put_crate(registry, crate_body(METADATA, packed)))
    assert time.monotonic() - started < 20
    assert peak_memory_bytes(registry.pid) < 250 * MIB
    assert stored_bytes(registry.data) - size_before < len(packed)
    invisible(registry)


def stored_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
