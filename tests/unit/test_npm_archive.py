import gzip
import io
import tarfile
import time
from collections.abc import Callable

import pytest

from packledger.commands.archives.tar_reader import iter_tar_gz
from packledger.commands.npm.archive import NpmArchive, read_npm_archive
from packledger.commands.readmes import MAX_README_BYTES
from packledger.domain.errors import Invalid, TooLarge
from packledger.domain.npm.manifest import ArchiveFacts

MIB = 1 << 20
PACKAGE_JSON = b'{"name":"n","version":"1.0.0"}'
Member = tuple[str, bytes] | tarfile.TarInfo


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(path: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type = kind
    if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
        info.linkname = "package.json"
    return info


def read(data: bytes, max_unpacked_bytes: int = 8 * MIB) -> NpmArchive:
    return read_npm_archive(io.BytesIO(data), max_unpacked_bytes)


def read_members(*members: Member) -> NpmArchive:
    return read(gzip.compress(tar(*members)))


def with_checksum(block: bytes) -> bytes:
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


MANIFEST = ("package/package.json", PACKAGE_JSON)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tarball_of_any_format_is_read(form: int) -> None:
    long_path = "package/" + "d" * 80 + "/" + "é" * 30 + ".js"
    members = [special("package/", tarfile.DIRTYPE), MANIFEST, (long_path, b"x" * 1_000)]
    found = read(gzip.compress(tar(*members, ("package/README.md", b"# n"), form=form)))
    assert found == NpmArchive(
        PACKAGE_JSON, b"# n", "README.md", 3, len(PACKAGE_JSON) + 1_003, ArchiveFacts()
    )


def test_the_first_folder_may_have_any_name_and_several() -> None:
    found = read_members(("node-v1/package.json", PACKAGE_JSON), ("other/lib/a.js", b"1"))
    assert (found.package_json, found.file_count) == (PACKAGE_JSON, 2)


@pytest.mark.parametrize("times", [b"15076575141\0" * 2, b"1507657514 \0" + bytes(12), bytes(24)])
def test_times_after_the_prefix_are_passed_over(times: bytes) -> None:
    """node-tar wrote them for all of `@types`."""
    header = with_checksum(PLAIN[:476] + times + PLAIN[500:512])
    assert read(gzip.compress(header + PLAIN[512:])).package_json == PACKAGE_JSON


@pytest.mark.parametrize("odd", [b"\xff" * 24, b"15076575141\n" * 2, b"package/lib\0" + bytes(12)])
def test_other_bytes_after_the_prefix_are_refused(odd: bytes) -> None:
    header = with_checksum(PLAIN[:476] + odd + PLAIN[500:512])
    with pytest.raises(Invalid, match="bytes follow the end of a name"):
        read(gzip.compress(header + PLAIN[512:]))


def test_a_header_of_git_archive_is_passed_over() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "0" * 40}) as archive:
        info = tarfile.TarInfo("package/package.json")
        info.size = len(PACKAGE_JSON)
        archive.addfile(info, io.BytesIO(PACKAGE_JSON))
    assert read(gzip.compress(buffer.getvalue())).package_json == PACKAGE_JSON


def test_facts_are_those_of_the_root() -> None:
    found = read_members(
        MANIFEST, ("package/binding.gyp", b""), ("package/npm-shrinkwrap.json", b"")
    )
    assert found.facts == ArchiveFacts(has_gyp=True, has_shrinkwrap=True)
    found = read_members(
        MANIFEST, ("package/a/binding.gyp", b""), ("package/a/npm-shrinkwrap.json", b"")
    )
    assert found.facts == ArchiveFacts()


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["readme.txt"], ""),
        (["readme.txt", "README"], "README"),
        (["README", "readme.zh.md", "docs/README.md"], "readme.zh.md"),
        (["README.zh.md", "readme.md"], "readme.md"),
        (["readme.md", "README.md"], "README.md"),
        (["Readme.markdown"], "Readme.markdown"),
        (["readme.mdx", "README.md.bak"], ""),
    ],
)
def test_the_readme_is_the_one_that_npm_shows(names: list[str], chosen: str) -> None:
    found = read_members(MANIFEST, *((f"package/{name}", name.encode()) for name in names))
    assert found.readme_filename == chosen
    assert found.readme == (chosen.encode() or None)


@pytest.mark.parametrize("lead", range(4))
def test_a_long_readme_is_cut_between_characters(lead: int) -> None:
    text = "a" * lead + "é€" * MAX_README_BYTES
    readme = read_members(MANIFEST, ("package/README.md", text.encode())).readme
    assert readme is not None
    assert MAX_README_BYTES - 4 < len(readme) <= MAX_README_BYTES
    assert text.startswith(readme.decode())


def test_a_readme_that_is_no_utf8_is_made_so() -> None:
    readme = read_members(MANIFEST, ("package/README.md", b"\xff" * MAX_README_BYTES)).readme
    assert readme == "\ufffd".encode() * (MAX_README_BYTES // 3)


@pytest.mark.parametrize(
    "members",
    [
        [],
        [("package/lib/package.json", PACKAGE_JSON)],
        [("./package/package.json", PACKAGE_JSON)],
        [MANIFEST, ("./package/package.json", PACKAGE_JSON)],
        [MANIFEST, ("package/package.json", PACKAGE_JSON + b" ")],
        [MANIFEST, ("package/a", b"1"), ("other/a", b"2")],
        [MANIFEST, ("package/a", b""), ("package/a/b", b"")],
        [MANIFEST, ("package/package.json::$DATA", b"")],
        [MANIFEST, ("package/package.json.", b"")],
        [MANIFEST, ("package/package.json ", b"")],
        [MANIFEST, ("package/pac\u212aage.json", b"")],
        [MANIFEST, ("package/package.j\u200cson", b"")],
        [MANIFEST, ("package/PACKAG~1.JSO", b"")],
        [MANIFEST, ("package/pa0f3c~5.jso", b"")],
        [MANIFEST, ("package//a", b"")],
        [MANIFEST, ("package/./a", b"")],
        [MANIFEST, ("./a", b"")],
        [MANIFEST, ("package/a\nb", b"")],
        [MANIFEST, ("package/a\u2028b", b"")],
        [MANIFEST, special("package/a/", tarfile.REGTYPE)],
        [MANIFEST, special("package/a", tarfile.CONTTYPE)],
        [MANIFEST, special("package/a", tarfile.GNUTYPE_SPARSE)],
        [MANIFEST, ("other/package.json", b"{}")],
        [MANIFEST, ("package//./package.json", PACKAGE_JSON)],
        [MANIFEST, ("package/Package.JSON", PACKAGE_JSON)],
        [("package/PACKAGE.json", PACKAGE_JSON)],
        [MANIFEST, special("x/package.json", tarfile.DIRTYPE)],
        [("package/package.json/a", b""), MANIFEST],
        [MANIFEST, ("a.js", b"")],
        [MANIFEST, ("package/../a", b"")],
        [MANIFEST, ("../a", b"")],
        [MANIFEST, ("/etc/passwd", b"")],
        [MANIFEST, ("package/a\\..\\b", b"")],
        [MANIFEST, ("C:/a", b"")],
        [MANIFEST, ("package/a:b", b"")],
        [MANIFEST, special("package/..", tarfile.DIRTYPE)],
        [MANIFEST, special("package/a", tarfile.SYMTYPE)],
        [MANIFEST, special("package/a", tarfile.LNKTYPE)],
        [MANIFEST, special("package/a", tarfile.CHRTYPE)],
        [MANIFEST, special("package/a", tarfile.FIFOTYPE)],
        [MANIFEST, special("package/a", b"Z")],
    ],
)
def test_members_that_clients_would_see_differently_are_refused(members: list[Member]) -> None:
    with pytest.raises(Invalid):
        read_members(*members)


def test_files_that_differ_in_case_are_allowed() -> None:
    assert read_members(MANIFEST, ("package/a.js", b""), ("package/A.js", b"")).file_count == 3


def test_files_whose_names_npm_writes_otherwise_on_windows_are_allowed() -> None:
    names = ["index.html?C=D;O=A", "abc:d", "a.", "lib/package.json."]
    members = [(f"package/{name}", b"") for name in names]
    assert read_members(MANIFEST, *members).file_count == 5


def test_a_file_that_is_there_twice_with_the_same_contents_is_read_once() -> None:
    found = read_members(MANIFEST, ("package/a", b"1" * MIB), MANIFEST, ("other/a", b"1" * MIB))
    assert (found.package_json, found.file_count) == (PACKAGE_JSON, 2)
    assert found.unpacked_bytes == MIB + len(PACKAGE_JSON)


def test_any_cut_of_a_tarball_is_refused() -> None:
    data = gzip.compress(tar(MANIFEST, ("package/a.js", bytes(range(256)) * 20)))
    for end in range(0, len(data), 7):
        with pytest.raises(Invalid):
            read(data[:end])


def test_a_changed_byte_is_refused_or_changes_nothing() -> None:
    data = gzip.compress(tar(MANIFEST, ("package/a.js", bytes(range(256)))), mtime=0)
    whole = read(data)
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        try:
            assert read(bytes(broken)) == whole, place
        except Invalid:
            continue


def _end_marks(archive: bytes) -> bytes:
    return archive.rstrip(b"\0") + bytes(-len(archive.rstrip(b"\0")) % 512)


PLAIN = tar(MANIFEST)
ONE_FILE = tar(("package/x", b"1234"))[:1024]
DAMAGES: dict[str, Callable[[], bytes]] = {
    "no gzip": lambda: PLAIN,
    "nothing": lambda: b"",
    "gzip of something else": lambda: gzip.compress(b"hello"),
    "data after the end mark": lambda: gzip.compress(PLAIN + tar(("package/b", b""))),
    "a second archive": lambda: gzip.compress(PLAIN) + gzip.compress(PLAIN),
    "data after gzip": lambda: gzip.compress(PLAIN) + b"x",
    "a wrong checksum": lambda: gzip.compress(b"q" + PLAIN[1:]),
    "a size that is not octal": lambda: gzip.compress(
        with_checksum(PLAIN[:124] + b"9" * 11 + PLAIN[135:512])
    ),
    "a negative size": lambda: gzip.compress(
        with_checksum(PLAIN[:124] + b"\xff" * 12 + PLAIN[136:512]) + PLAIN[512:]
    ),
    "a member longer than the archive": lambda: gzip.compress(
        with_checksum(PLAIN[:124] + b"00000100000\0" + PLAIN[136:512]) + PLAIN[512:]
    ),
    "a directory with contents": lambda: gzip.compress(
        with_checksum(PLAIN[:156] + b"5" + PLAIN[157:512]) + PLAIN[512:]
    ),
    "a name that is no UTF-8": lambda: gzip.compress(
        with_checksum(b"\xff" + PLAIN[1:512]) + PLAIN[512:]
    ),
    "an empty name": lambda: gzip.compress(with_checksum(b"\0" + PLAIN[1:512]) + PLAIN[512:]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_archive_is_refused(damage: Callable[[], bytes]) -> None:
    with pytest.raises(Invalid, match="pack it again"):
        read(damage())


@pytest.mark.parametrize("padding", [0, 512, 100_352])
def test_zeros_may_follow_the_end(padding: int) -> None:
    read(gzip.compress(_end_marks(PLAIN) + bytes(padding)))
    read(gzip.compress(PLAIN) + bytes(padding))


def pax(records: bytes, kind: bytes = b"x", path: bytes = b"package/a") -> bytes:
    header = bytearray(512)
    header[: len(path)] = path
    header[100:108] = b"0000644\0"
    header[124:136] = b"%011o\0" % len(records)
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    return with_checksum(bytes(header)) + records + bytes(-len(records) % 512)


def record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return b"%d" % length + body


@pytest.mark.parametrize(
    "extended",
    [
        pax(b"13 path=a/b\n"),
        pax(b"nonsense"),
        pax(b"99999999 path=a\n"),
        pax(b"0 a=b\n"),
        pax(b"8 patha\n"),
        pax(b"12 path=a/b\n12 path=c/d\n"),
        pax(b"10 size=5\n"),
        pax(b"11 size=-5\n"),
        pax(b"12 path=a\0b\n"),
        pax(b"12 path=a\xffb\n"),
        pax(b"12 path=a/b\n", b"g"),
        pax(b"12 path=a/b\n") + pax(b"12 path=a/b\n"),
        pax(b"12 path=a/b\n") + pax(b"package/package.json\0", b"L"),
        pax(b"package/" + b"d/" * 1_000 + b"a\0", b"L"),
        pax(b"package/" + b"a" * 256 + b"\0", b"L"),
        pax(b"\0", b"L"),
        pax(b"26 GNU.sparse.realsize=99\n"),
        # one comment to who counts bytes, and a path to who looks for lines
        pax(record(b"comment", b"x\n" + record(b"path", b"package/package.json")[:-1])),
        pax(record(b"uname", b"x\n" + record(b"path", b"package/package.json")[:-1])),
        pax(record(b"path", b"package/c\0d")),
        pax(record(b"path", b"package/c\nd")),
        pax(record(b"path", b"")),
        pax(record(b"hdrcharset", b"BINARY")),
        pax(record(b"linkpath", b"a")),
        pax(record(b"type", b"Directory")),
        pax(record(b"SCHILY.realsize", b"4")),
        pax(record(b"size", b"04")),
        pax(record(b"uid", b"root")),
        pax(record(b"size", b" 4")),
        pax(record(b"path\n", b"a/b")),
        pax(b"0" + record(b"path", b"a/b")),
        pax(b"+" + record(b"path", b"a/b")),
        pax(record(b"comment", b"x") + b"\0"),
        pax(record(b"comment", b"x"), b"X"),
        pax(b"package/c\0", b"N"),
        pax(b"package/c\0", b"K"),
        pax(record(b"mtime", b"1")) + pax(b"package/c\0", b"L"),
        pax(record(b"mtime", b"1"), b"g"),
        # pnpm forgets the path at the global header, and takes the member's own name
        pax(b"12 path=a/b\n") + pax(b"13 comment=g\n", b"g"),
        pax(b"package/c\0", b"L") + pax(b"13 comment=g\n", b"g"),
        # node-tar drops a path that is cut inside a character, and takes the header's
        pax(record(b"path", "package/é".encode())) + tar(("package/package.json", b"evil"))[:1024],
    ],
)
def test_an_extended_header_that_misleads_is_refused(extended: bytes) -> None:
    with pytest.raises(Invalid):
        read(gzip.compress(extended + ONE_FILE + PLAIN))


@pytest.mark.parametrize(
    "extended",
    [
        b"",
        pax(b"12 path=a/b\n"),
        pax(b"12 path=a/b\n9 size=4\n"),
        pax(b"14 mtime=1.25\n13 comment=\xff\n"),
        pax(b"13 comment=g\n", b"g") + pax(b"12 path=a/b\n"),
        pax(b"package/" + b"d/" * 250 + b"a\0", b"L"),
        # as npm of 2015 wrote them
        pax(b"".join(record(b"NODETAR.package.files.%d" % n, b"lib/%d" % n) for n in range(200))),
    ],
)
def test_an_extended_header_that_is_clear_is_followed(extended: bytes) -> None:
    assert read(gzip.compress(extended + ONE_FILE + PLAIN)).file_count == 2


def test_an_extended_header_in_place_of_a_member_is_refused() -> None:
    with pytest.raises(Invalid):
        read(gzip.compress(pax(b"12 path=a/b\n")))


def test_a_large_extended_header_is_refused_before_it_is_read() -> None:
    header = pax(b"")[:512]
    header = with_checksum(header[:124] + b"00000200001\0" + header[136:])
    with pytest.raises(TooLarge, match="extended header"):
        read(gzip.compress(header))


def test_many_records_are_refused() -> None:
    with pytest.raises(TooLarge, match="records"):
        read(gzip.compress(pax(record(b"uid", b"1") * 1_001) + ONE_FILE + PLAIN))


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([record(b"NODETAR.%d" % n, b"") for n in range(1_000)], "1000000"),
        ([record(b"comment", b"x" * 60_000)], "67108864"),
    ],
)
def test_extended_headers_are_bounded_all_together(records: list[bytes], problem: str) -> None:
    one = pax(b"".join(records)) + pax(b"", b"5")
    with pytest.raises(TooLarge, match=problem):
        read(gzip.compress(one * 1_200, 1), 1 << 30)


def test_processor_time_is_bounded() -> None:
    data = gzip.compress(pax(b"", b"5") * 50_000)
    started_s = time.thread_time()
    members = iter_tar_gz(io.BytesIO(data), max_unpacked_bytes=1 << 30, max_seconds=0.01)
    with pytest.raises(TooLarge, match="processor time"):
        list(members)
    assert time.thread_time() - started_s < 0.1


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip.compress(tar(MANIFEST, ("package/zeros", bytes(64 * MIB))))
    started_s = time.thread_time()
    with pytest.raises(TooLarge, match="more than 1048576 bytes"):
        read(bomb, MIB)
    assert time.thread_time() - started_s < 1


def test_zeros_after_the_end_count_too() -> None:
    with pytest.raises(TooLarge):
        read(gzip.compress(PLAIN + bytes(64 * MIB)))


def test_too_many_members_are_refused() -> None:
    one = pax(b"", b"5")
    with pytest.raises(TooLarge, match="more than 100000 entries"):
        read(gzip.compress(one * 100_001), 1 << 30)


def test_a_large_package_json_is_refused() -> None:
    with pytest.raises(TooLarge):
        read_members(("package/package.json", b"{" + b" " * MIB + b"}"))
