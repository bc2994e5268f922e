import contextlib
import gzip
import io
import random
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.commands.cargo.archive import (
    CrateArchive,
    read_crate,
    read_crate_archive,
)
from packledger.commands.cargo.upload import CrateMetadata
from packledger.domain.errors import Invalid, RegistryError, TooLarge

ROOT = "foo-1.0.0+b"
CARGO_TOML = b'[package]\nname = "foo"\nversion = "1.0.0+b"\n'
MIB = 1 << 20
FORMATS = [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]

Entry = tuple[tarfile.TarInfo, bytes]


def file(path: str, content: bytes = b"", **fields: object) -> Entry:
    info = tarfile.TarInfo(path)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def folder(path: str) -> Entry:
    return file(path, type=tarfile.DIRTYPE)


def crate(*entries: Entry, format: int = tarfile.GNU_FORMAT) -> bytes:
    """Build a `.crate`; a lone surrogate in a path becomes the byte that it stands for."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format, errors="surrogateescape") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), 1)


MANIFEST = file(f"{ROOT}/Cargo.toml", CARGO_TOML)


def read(data: bytes, max_unpacked_bytes: int = 16 * MIB) -> CrateArchive:
    return read_crate_archive(io.BytesIO(data), "foo", "1.0.0+b", max_unpacked_bytes)


PART = st.text(
    st.characters(exclude_characters='/\\:*?"<>|', exclude_categories=["Cs", "Cc", "Zl", "Zp"]),
    min_size=1,
    max_size=30,
).filter(lambda part: part[-1] not in ". ")
PATHS = st.lists(
    st.lists(PART, min_size=1, max_size=6).map("/".join),
    max_size=12,
    unique_by=lambda path: path.lower(),
)


@given(PATHS, st.data(), st.sampled_from(FORMATS))
@settings(max_examples=60)
def test_an_archive_of_files_and_folders_is_read(
    paths: list[str], data: st.DataObject, format: int
) -> None:
    # within folders of their own, so that no path is another's folder or the manifest
    contents = {f"{n}/{path}": data.draw(st.binary(max_size=2000)) for n, path in enumerate(paths)}
    entries = [file(f"{ROOT}/{path}", content) for path, content in contents.items()]
    entries += [folder(f"{ROOT}/{path.rpartition('/')[0]}/") for path in contents]
    archive = read(crate(*data.draw(st.permutations([MANIFEST, *entries])), format=format))
    assert archive.cargo_toml == CARGO_TOML
    assert archive.file_count == len(contents) + 1
    assert archive.unpacked_bytes == sum(map(len, contents.values())) + len(CARGO_TOML)


def linked(kind: bytes, target: str) -> Entry:
    return file(f"{ROOT}/link", type=kind, linkname=target)


OUTSIDE, ODD, SPECIAL, TWICE = "is outside", "plain relative", "is a link or a special", "twice"
MIXED, WINDOWS = "is a file and a folder", "which Windows"

BAD: dict[str, tuple[str, list[Entry]]] = {
    "another folder": (OUTSIDE, [file("bar-1.0.0/a")]),
    "the folder's name longer": (OUTSIDE, [file(f"{ROOT}x/a")]),
    "the folder without build metadata": (OUTSIDE, [file("foo-1.0.0/a")]),
    "no folder": (OUTSIDE, [file("a")]),
    "a file called like the folder": (OUTSIDE, [file(ROOT)]),
    "absolute": (ODD, [file(f"/{ROOT}/a")]),
    "a dot first": (ODD, [file(f"./{ROOT}/a")]),
    "up": (ODD, [file(f"{ROOT}/../a")]),
    "up at the end": (ODD, [folder(f"{ROOT}/a/..")]),
    "an empty part": (ODD, [file(f"{ROOT}//a")]),
    "an empty part at the end": (ODD, [folder(f"{ROOT}/a//")]),
    "a dot": (ODD, [file(f"{ROOT}/./a")]),
    "a backslash": (ODD, [file(f"{ROOT}/..\\a")]),
    "a control character": ("a control character", [file(f"{ROOT}/a\nb")]),
    "a line's end of Unicode": ("a control character", [file(f"{ROOT}/a\u2028b")]),
    "not UTF-8": ("not UTF-8|hdrcharset", [file(f"{ROOT}/a\udcff")]),
    "a symbolic link": (SPECIAL, [linked(tarfile.SYMTYPE, "a")]),
    "a hard link": (SPECIAL, [linked(tarfile.LNKTYPE, f"{ROOT}/Cargo.toml")]),
    "a device": (SPECIAL, [linked(tarfile.CHRTYPE, "")]),
    "a pipe": (SPECIAL, [linked(tarfile.FIFOTYPE, "")]),
    "a contiguous file": (SPECIAL, [linked(tarfile.CONTTYPE, "")]),
    "a sparse file": (SPECIAL, [linked(tarfile.GNUTYPE_SPARSE, "")]),
    "a file that names a link's target": ("no link names", [linked(tarfile.REGTYPE, "a")]),
    "one path twice": (TWICE, [file(f"{ROOT}/a", b"1"), file(f"{ROOT}/a", b"2")]),
    "one path twice, shorter": (TWICE, [file(f"{ROOT}/a", b"1"), file(f"{ROOT}/a")]),
    "a file and a folder": (MIXED, [file(f"{ROOT}/a"), folder(f"{ROOT}/a")]),
    "a folder and a file": (MIXED, [folder(f"{ROOT}/a"), file(f"{ROOT}/a")]),
    "a file in a file": (MIXED, [file(f"{ROOT}/a"), file(f"{ROOT}/a/b")]),
    "a file where files lie": (MIXED, [file(f"{ROOT}/a/b/c"), file(f"{ROOT}/a")]),
    "two manifests": (TWICE, [file(f"{ROOT}/cargo.toml", CARGO_TOML)]),
    "another manifest": (TWICE, [file(f"{ROOT}/Cargo.toml", CARGO_TOML + b"#")]),
    "a manifest to HFS": ("manifest", [file(f"{ROOT}/Cargo\u200c.toml", CARGO_TOML)]),
    "a manifest's short name": ("manifest", [file(f"{ROOT}/CARGO~1.TOM", CARGO_TOML)]),
    "cargo's mark": ("cargo-ok", [file(f"{ROOT}/.cargo-ok")]),
    "cargo's mark in capitals": ("cargo-ok", [file(f"{ROOT}/.CARGO-OK")]),
    "a readme twice": (TWICE, [file(f"{ROOT}/README", b"a"), file(f"{ROOT}/README", b"b")]),
    **{
        f"what Windows does not have: {name}": (WINDOWS, [file(f"{ROOT}/{name}")])
        for name in (
            *("Cargo.toml::$DATA", "src/lib.rs:x", "a.", "a ", "a./b", "a /b", "Cargo.toml."),
            *("a?", "a*", "a<b", "a>b", 'a"b', "a|b"),
        )
    },
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_entry_is_refused_wherever_it_is(kind: str, position: int, format: int) -> None:
    entries = [folder(f"{ROOT}/"), file(f"{ROOT}/src/lib.rs"), MANIFEST]
    assert read(crate(*entries, format=format)).file_count == 2
    problem, bad = BAD[kind]
    entries[position:position] = bad
    with pytest.raises(Invalid, match=problem):
        read(crate(*entries, format=format))


@pytest.mark.parametrize(
    "names",
    [
        ("LICENSE", "license"),
        ("README.md", "readme.md"),
        ("src/É.rs", "src/é.rs"),
        ("a", "A/b"),
        ("src/Cargo.toml", "src/cargo.toml"),
    ],
)
def test_files_that_differ_in_case_are_accepted_as_cargo_packs_them(names: tuple[str, str]) -> None:
    archive = read(crate(MANIFEST, *(file(f"{ROOT}/{name}", name.encode()) for name in names)))
    assert archive.file_count == 3
    assert archive.readmes == {n: n.encode() for n in names if n.lower() == "readme.md"}


def test_a_file_that_is_there_twice_with_the_same_contents_is_read_once() -> None:
    """cargo of 2015 packed the manifest and the readme twice."""
    twice = [MANIFEST, file(f"{ROOT}/README.md", b"# hi" * MIB)]
    archive = read(crate(*twice, file(f"{ROOT}/src/lib.rs"), *twice))
    assert archive.cargo_toml == CARGO_TOML
    assert archive.file_count == 3
    assert archive.unpacked_bytes == len(CARGO_TOML) + 4 * MIB


@pytest.mark.parametrize("name", ["CARGO.TOML", "Cargo.Toml"])
def test_a_manifest_in_other_letters_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=f"called `{name}`"):
        read(crate(file(f"{ROOT}/{name}", CARGO_TOML)))


def test_a_lone_lower_case_manifest_is_tolerated() -> None:
    assert read(crate(file(f"{ROOT}/cargo.toml", CARGO_TOML))).cargo_toml == CARGO_TOML


def test_an_archive_without_a_manifest_is_refused() -> None:
    with pytest.raises(Invalid, match=r"has no `foo-1\.0\.0\+b/Cargo\.toml`"):
        read(crate(file(f"{ROOT}/sub/Cargo.toml", CARGO_TOML)))


def test_a_pax_size_that_differs_from_the_header_is_refused() -> None:
    entry = file(f"{ROOT}/a", b"x" * 600, pax_headers={"size": "10"})
    with pytest.raises(Invalid, match="two sizes"):
        read(crate(MANIFEST, entry, format=tarfile.PAX_FORMAT))


def test_a_pax_global_header_is_refused_as_cargo_would_unpack_it() -> None:
    raw = io.BytesIO()
    with tarfile.open(
        fileobj=raw, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}
    ) as archive:
        archive.addfile(MANIFEST[0], io.BytesIO(CARGO_TOML))
    with pytest.raises(Invalid, match="global header"):
        read(gzip.compress(raw.getvalue()))


GOOD = crate(MANIFEST, file(f"{ROOT}/src/lib.rs", b"fn f() {}" * 200))


@given(st.integers(0, len(GOOD) - 1))
def test_an_archive_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(Invalid):
        read(GOOD[:length])


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_harmless(at: int, change: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= change
    with contextlib.suppress(RegistryError):
        assert read(bytes(data)) == read(GOOD)


@given(st.integers(0, 3000), st.integers(1, 255))
def test_a_changed_byte_inside_gives_an_archive_or_a_refusal(at: int, change: int) -> None:
    data = bytearray(gzip.decompress(GOOD))
    data[at] ^= change
    with contextlib.suppress(RegistryError):
        read(gzip.compress(bytes(data), 1))


@given(st.binary(max_size=2000))
def test_any_bytes_in_gzip_give_an_archive_or_a_refusal(data: bytes) -> None:
    with contextlib.suppress(RegistryError):
        read(gzip.compress(data, 1))
    with contextlib.suppress(RegistryError):
        read(data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"x",
        lambda data: data + GOOD,
        lambda data: data + gzip.compress(b""),
        lambda data: gzip.compress(gzip.decompress(data) + b"x"),
        lambda data: gzip.compress(gzip.decompress(data) + gzip.decompress(GOOD)),
        lambda data: gzip.decompress(data),
    ],
    ids=[
        "garbage",
        "second member",
        "empty second member",
        "garbage in the tar",
        "second tar",
        "no gzip",
    ],
)
def test_data_that_other_readers_would_see_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Invalid):
        read(spoil(GOOD))


def test_several_gzip_members_are_refused_with_the_reason() -> None:
    raw = gzip.decompress(GOOD)
    with pytest.raises(Invalid, match="several members, of which cargo and pnpm unpack"):
        read(gzip.compress(raw[:512]) + gzip.compress(raw[512:]))


def bomb_by_one_file() -> bytes:
    return crate(MANIFEST, file(f"{ROOT}/zeros", bytes(64 * MIB)))


def bomb_by_many_files() -> bytes:
    return crate(MANIFEST, *(file(f"{ROOT}/{n}", bytes(MIB)) for n in range(64)))


def bomb_after_the_end() -> bytes:
    return gzip.compress(gzip.decompress(GOOD) + bytes(64 * MIB))


def bomb_in_a_header() -> bytes:
    path = f"{ROOT}/{'x' * 64 * MIB}"
    return crate(MANIFEST, file(path))


@pytest.mark.parametrize(
    "bomb", [bomb_by_one_file, bomb_by_many_files, bomb_after_the_end, bomb_in_a_header]
)
def test_a_bomb_is_refused_with_little_memory(bomb: Callable[[], bytes]) -> None:
    data = bomb()
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            read(data)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * MIB


def test_too_many_files_are_refused() -> None:
    # written by hand, as tarfile needs seconds for so many
    header = bytearray(file(f"{ROOT}/0000000")[0].tobuf(tarfile.GNU_FORMAT))
    at = header.index(b"0000000\0", len(ROOT))
    blocks = []
    for number in range(100_001):
        header[at : at + 7] = b"%07d" % number
        total = sum(header[:148]) + 8 * 32 + sum(header[156:])
        header[148:156] = b"%06o\0 " % total
        blocks.append(bytes(header))
    with pytest.raises(TooLarge, match="100000"):
        read(gzip.compress(b"".join(blocks), 1), 512 * MIB)


def test_too_many_bytes_of_folders_are_refused() -> None:
    deep = "/".join(["x"] * 250)
    entries = [file(f"{ROOT}/{n}/{deep}/{'y' * 200}/{'y' * 200}") for n in range(300)]
    with pytest.raises(TooLarge, match="bytes of paths"):
        read(crate(*entries))


def test_a_large_manifest_is_refused() -> None:
    with pytest.raises(TooLarge, match=r"`Cargo\.toml` has 1048577 bytes"):
        read(crate(file(f"{ROOT}/Cargo.toml", b"#" * (MIB + 1))))


def judge(*entries: Entry, name: str = "foo", vers: str = "1.0.0+b") -> bytes | None:
    data = io.BytesIO(crate(*entries))
    return read_crate(data, CrateMetadata(name, vers), frozenset(), 16 * MIB).readme


@pytest.mark.parametrize(
    ("stated", "files", "expected"),
    [
        ("", {"README": b"c", "README.txt": b"b"}, b"b"),
        ("", {"README.md": b"a", "README": b"c"}, b"a"),
        ("", {"read.md": b"a"}, None),
        ('readme = "README"', {"README.md": b"a", "README": b"c"}, b"c"),
        ('readme = "docs/intro.md"', {"docs/intro.md": b"deep", "README.md": b"a"}, b"deep"),
        ('readme = "./README.md"', {"README.md": b"a"}, b"a"),
        ('readme = "gone.md"', {"README.md": b"a"}, None),
        ("readme = false", {"README.md": b"a"}, None),
        ("readme = true", {"README.md": b"a"}, b"a"),
        ("", {"README.md": b"a\xffb"}, "a\ufffdb".encode()),
        ("", {"README.md": b"a\xc3"}, "a\ufffd".encode()),
        ("", {"README.md": "é".encode() * 40_000}, "é".encode() * 32_768),
        ("", {"README.md": b"x" + "é".encode() * 40_000}, b"x" + "é".encode() * 32_767),
    ],
)
def test_the_readme_is_the_one_that_cargo_means(
    stated: str, files: dict[str, bytes], expected: bytes | None
) -> None:
    entries = [file(f"{ROOT}/{path}", content) for path, content in files.items()]
    manifest = file(f"{ROOT}/Cargo.toml", CARGO_TOML + stated.encode())
    assert judge(manifest, *entries) == expected


@pytest.mark.parametrize(
    ("said", "toml"),
    [
        ("foo@1.0.0+b", b'[package]\nname = "bar"\nversion = "1.0.0+b"\n'),
        ("foo@1.0.0+b", b'[package]\nname = "Foo"\nversion = "1.0.0+b"\n'),
        ("foo@1.0.0+b", b'[package]\nname = "foo"\nversion = "1.0.0"\n'),
    ],
)
def test_a_manifest_of_another_crate_is_refused(said: str, toml: bytes) -> None:
    with pytest.raises(Invalid, match="in its archive says"):
        judge(file(f"{ROOT}/Cargo.toml", toml))


@pytest.mark.parametrize(("name", "vers"), [("../x", "1.0.0"), ("foo", "1"), ("std", "1.0.0")])
def test_a_request_for_a_bad_name_or_version_is_refused(name: str, vers: str) -> None:
    with pytest.raises(Invalid):
        judge(MANIFEST, name=name, vers=vers)


def test_random_contents_are_not_mistaken_for_headers() -> None:
    content = random.Random(2).randbytes(300_001)
    archive = read(crate(file(f"{ROOT}/data", content), MANIFEST))
    assert archive.unpacked_bytes == len(content) + len(CARGO_TOML)
