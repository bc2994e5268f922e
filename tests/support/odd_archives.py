"""Archives as nobody packs them: each has what two readers of tar or gzip could see differently."""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

BLOCK = 512


@dataclass(frozen=True)
class Member:
    """One header and what follows it; a field that is None is written as it should be."""

    name: bytes
    data: bytes = b""
    kind: bytes = b"0"
    magic: bytes = b"ustar\x0000"
    prefix: bytes = b""
    link: bytes = b""
    size: bytes | None = None
    mode: bytes = b"0000644\0"
    mtime: bytes = b"00000000000\0"
    tail: bytes = b""
    checksum: bytes | None = None
    padding: int = 0

    def __bytes__(self) -> bytes:
        size = b"%011o\0" % len(self.data) if self.size is None else self.size
        block = bytearray(BLOCK)
        for at, end, text in (
            (0, 100, self.name),
            (100, 108, self.mode),
            (108, 116, b"0000000\0"),
            (116, 124, b"0000000\0"),
            (124, 136, size),
            (136, 148, self.mtime),
            (148, 156, b" " * 8),
            (156, 157, self.kind),
            (157, 257, self.link),
            (257, 265, self.magic),
            (345, 500, self.prefix),
            (500, 512, self.tail),
        ):
            block[at : min(end, at + len(text))] = text[: end - at]
        form = self.checksum or b"%06o\0 "
        block[148:156] = (form % sum(block)).ljust(8, b"\0")[:8]
        filler = bytes([self.padding]) * (-len(self.data) % BLOCK)
        return bytes(block) + self.data + filler


def record(key: bytes, value: bytes, length: int | None = None, lead: bytes = b"") -> bytes:
    """One `length key=value` line of a pax header; `lead` stands before the length."""
    body = b" " + key + b"=" + value + b"\n"
    if length is None:
        length = len(body) + 1
        while length != len(body) + len(b"%d" % length):
            length = len(body) + len(b"%d" % length)
    return lead + b"%d" % length + body


@dataclass(frozen=True)
class Odd:
    """What is put into an ordinary archive, where, and how all is packed."""

    members: tuple[Member, ...]
    place: int = 0
    end: bytes = bytes(1024)
    pack: str = "plain"


def archive(odd: Odd, ordinary: tuple[Member, ...]) -> bytes:
    """Return the ordinary archive with the odd members in it."""
    members = [*ordinary[: odd.place], *odd.members, *ordinary[odd.place :]]
    tar = b"".join(map(bytes, members)) + odd.end
    return PACKS[odd.pack](tar)


def _cut(tar: bytes, at: int) -> bytes:
    return gzip.compress(tar[:at], 6, mtime=0) + gzip.compress(tar[at:], 6, mtime=0)


def _header(tar: bytes, flags: int, extra: bytes) -> bytes:
    plain = gzip.compress(tar, 6, mtime=0)
    return plain[:3] + bytes([flags]) + plain[4:10] + extra + plain[10:]


def _header_crc(tar: bytes, wrong: int) -> bytes:
    plain = gzip.compress(tar, 6, mtime=0)
    head = plain[:3] + b"\x02" + plain[4:10]
    crc = (zlib.crc32(head) ^ wrong) & 0xFFFF
    return head + crc.to_bytes(2, "little") + plain[10:]


PACKS = {
    "plain": lambda tar: gzip.compress(tar, 6, mtime=0),
    "stored": lambda tar: gzip.compress(tar, 0, mtime=0),
    "two members": lambda tar: _cut(tar, len(tar) // 2),
    "two members at a block": lambda tar: _cut(tar, 1024),
    "an empty member before": lambda tar: gzip.compress(b"") + gzip.compress(tar),
    "an empty member after": lambda tar: gzip.compress(tar) + gzip.compress(b""),
    "a member of zeros after": lambda tar: gzip.compress(tar) + gzip.compress(bytes(1024)),
    "another archive after": lambda tar: gzip.compress(tar) + gzip.compress(tar),
    "zeros after": lambda tar: gzip.compress(tar) + bytes(700),
    "garbage after": lambda tar: gzip.compress(tar) + b"garbage" * 9,
    "zeros and a member after": lambda tar: gzip.compress(tar) + bytes(9) + gzip.compress(tar),
    "with a name": lambda tar: _header(tar, 8, b"x.tar\0"),
    "with a comment": lambda tar: _header(tar, 16, b"hello\0"),
    "with an extra field": lambda tar: _header(tar, 4, b"\4\0abcd"),
    "with a header checksum": lambda tar: _header_crc(tar, 0),
    "with a wrong header checksum": lambda tar: _header_crc(tar, 1),
    "with a reserved flag": lambda tar: _header(tar, 0x20, b""),
    "with a wrong length": lambda tar: gzip.compress(tar)[:-4] + b"\1\2\3\4",
    "with a wrong checksum": lambda tar: (
        gzip.compress(tar)[:-8] + b"\1\2\3\4" + gzip.compress(tar)[-4:]
    ),
    "cut": lambda tar: gzip.compress(tar)[:-9],
}


class Oddities:
    """Makes archives whose files lie below `root` and whose manifest is `manifest`.

    Each has a few members more than an ordinary one, and of those few are wrong in more than one
    way: what is wrong in many is refused for the first.
    """

    def __init__(self, random: Random, root: str, manifest: str) -> None:
        self._random = random
        self._root = root.encode() + b"/"
        self._manifest = manifest.encode()
        self._evil = self._root + self._manifest
        self._inner = b"".join(
            bytes(Member(path, b"evil")) for path in (self._evil, self._root + b"index.js")
        )

    def odd(self) -> Odd:
        """Return what is odd about one archive."""
        pick = self._random.choice
        shape = pick([self._files, self._extended, self._extended, self._mixed])
        end = bytes(1024)
        if self._rarely():
            ends = (0, 512, 10_240, 100, 1_000)
            end = pick(
                [*map(bytes, ends), end + self._inner, bytes(512) + self._inner, b"\1" * 512]
            )
        pack = pick(list(PACKS)) if self._rarely() else "plain"
        return Odd(tuple(shape()), self._random.randrange(3), end, pack)

    def _rarely(self) -> bool:
        return self._random.random() < 0.08

    def _files(self) -> list[Member]:
        return [
            self._file(self._random.choice([1, 1, 2]))
            for _ in range(self._random.choice((1, 1, 2)))
        ]

    def _extended(self) -> list[Member]:
        metas = [self._meta() for _ in range(self._random.choice((1, 1, 1, 2)))]
        return [*metas, self._file(0)]

    def _mixed(self) -> list[Member]:
        return [self._meta(), self._file(self._random.choice([0, 1])), self._file(1)]

    def _file(self, oddities: int) -> Member:
        data = self._random.choice([b"", b"honest", b"y" * 512, b"z" * 700, self._inner])
        name = self._root + self._random.choice([b"b", b"lib/b", b"b.js", b"lib/c/b"])
        fields: dict[str, Any] = {}
        for field in self._random.sample(list(_FIELDS), oddities):
            fields[field] = self._random.choice(_FIELDS[field])
            if isinstance(fields[field], Callable):
                fields[field] = fields[field](self, data)
        return Member(**{"name": name, "data": data, **fields})

    def name(self, _: bytes) -> bytes:
        """Return a path that systems or readers may take for another."""
        pick = self._random.choice
        root = self._root if self._random.random() < 0.8 else pick(_ROOTS) + pick([b"", self._root])
        manifest = self._manifest
        return root + pick(
            [*_NAMES, manifest, b"lib/" + manifest, b"./" + manifest, b"/" + manifest,
             b"lib/../" + manifest, b"._" + manifest, manifest.upper(), manifest + b"/a"]
        )  # fmt: skip

    def prefix(self, _: bytes) -> bytes:
        """Return the field before the name, of lengths that old forms cut."""
        p = self._root
        return self._random.choice(
            [p[:-1], p + b"lib", p, b".", b"/", p + b"p" * (129 - len(p)),
             p + b"p" * (130 - len(p)), p + b"p" * (131 - len(p)), p + b"p" * (155 - len(p)),
             p[:-1] + b"\x00junk\n", b"\x00" + p, p[:-1] + bytes(132 - len(p)) + b"\xff" * 24,
             p[:-1] + bytes(132 - len(p)) + b"15076575141\0" * 2, bytes(131) + b"15076575141\0" * 2]
        )  # fmt: skip

    def size(self, data: bytes) -> bytes:
        """Return the length of the contents as a number that readers may read otherwise."""
        n = len(data)
        return self._random.choice(
            [b"%011o " % n, b"%12o" % n, b"%o" % n, b"  %o\x00" % n, b"%o \x00" % n,
             b"%012o" % n, b"\x80" + n.to_bytes(11, "big"), b"\x80\x01" + n.to_bytes(10, "big"),
             b"\xff" * 12, b"", b" " * 12, b"%o 7\x00" % n, b"\x00%o" % n, b"0o%o\x00" % n,
             b"-%o\x00" % n, b"+%o" % n, b"%o\n\x00" % n, b"%o8\x00" % n, b"%o\x00junk" % n,
             b"\t%o\x00" % n, b"0x%o" % n, b"%011o\x00" % (n + 512),
             b"%011o\x00" % max(0, n - 1)]
        )  # fmt: skip

    def link(self, _: bytes) -> bytes:
        """Return a link's target."""
        return self._random.choice([b"x", self._root + b"index.js", b"\0x", b"\0\nx"])

    def _meta(self) -> Member:
        if self._random.random() < 0.3:
            data = self._random.choice(
                [self._evil, self._evil + b"\x00", self._root + b"long\x00",
                 self._root + b"long", self._evil + b"\x00\x00\x00",
                 self._root + b"l\x00/x\x00", b"", b"\x00", self._evil + b"\n",
                 self._root + b"l" * 200 + b"\x00", b"./" + self._evil,
                 self._root + b"l\x00\nx"]
            )  # fmt: skip
            return Member(b"././@LongLink", data, self._random.choice([*_LONG]), magic=_GNU)
        records = [self._record() for _ in range(self._random.choice((1, 1, 2, 3)))]
        tail = self._random.choice([b"\0" * 5, b"\n", b"x", b"\n\n"]) if self._rarely() else b""
        kind = self._random.choice([b"g", b"X"]) if self._rarely() else b"x"
        name = self._evil if self._rarely() else b"PaxHeader/x"
        return Member(name, b"".join(records) + tail, kind)

    def _record(self) -> bytes:
        pick = self._random.choice
        key = pick(_KEYS)
        evil = record(b"path", self._evil)
        root = self._root
        value = pick(
            [self._evil, root + b"p", root + b"p", root + "é".encode(), root + b"index.js",
             b"1", b"6", b"0", b"512", b"700", b"99999999999", b"", b"x=y", b"1.5", b"-1",
             b"1e3", b"0x6", b"06", b" 6", b"\xff", b"x\n" + evil[:-1], b"x\n\n" + evil[:-1],
             b"x\x00y", root + b"c\x00/d", b"BINARY", b"ISO-IR 10646 2000 UTF-8", root + b"d\n",
             b"./" + self._evil, b"\x7f", root + b"./" + self._manifest, root + b"p" * 300,
             b"x\xe2\x80\xa8y", b"w" * 600]
        )  # fmt: skip
        whole = record(key, value)
        if self._random.random() < 0.1:
            return record(
                key, value, len(whole) + pick([-1, 1, 5, 999]), pick([b"", b"0", b" ", b"+"])
            )
        return whole


_GNU = b"ustar  \0"
_LONG = (b"L", b"L", b"L", b"K", b"N")
_ROOTS = (b"./", b"/", b"./.", b"../", b"other/", b"C:", b"\\", b"")
_NAMES = (
    b"a", b"lib/a", b"index.js", b"src/lib.rs", b"README.md", b"lib//a", b"lib/./a", b".",
    b"..", b"", b"a/",
    b"a.", b"a ", b" a", b"a:b", b"a::$DATA", b"abc:d", b"lib/a:b", b"1:b", b"a?b", b"a*b",
    b"a<b", b'a"b', b"a|b", b"a\\b", b"a\nb",
    b"a\1b", b"a\x7fb", "é".encode(), "e\u0301".encode(), b"\xff", b"aux.js", b"a" * 80, b"b" * 120,
    b"c/" * 40 + b"c", b"LIB/a", b"._a", b"%41", "a\u2028b".encode(), b"~", b"-x", b"a\tb", b"a\rb",
    "\ufeffa".encode(), b"lib", b"lib/a/b", b"index.js/a", b"a\0b", b"a\0\nb",
)  # fmt: skip
_KEYS = (
    b"path", b"path", b"path", b"path", b"size", b"size", b"linkpath", b"comment", b"comment",
    b"mtime",
    b"uname", b"uid", b"charset", b"hdrcharset", b"type", b"mode", b"GNU.sparse.name",
    b"GNU.sparse.major",
    b"GNU.sparse.realsize", b"GNU.sparse.size", b"SCHILY.realsize", b"SCHILY.dev",
    b"SCHILY.xattr.user.x",
    b"LIBARCHIVE.xattr.a", b"Path", b"path ", b" path", b"a\nb", b"", b"GNU.path", b"NODETAR.path",
    b"NODETAR.type", b"SCHILY.filetype",
)  # fmt: skip
_FIELDS: dict[str, tuple[Any, ...]] = {
    "name": (Oddities.name,),
    "prefix": (Oddities.prefix,),
    "size": (Oddities.size,),
    "link": (Oddities.link,),
    "kind": (*tuple(bytes([byte]) for byte in b"\x0057123678SDAVMZxgLKNXI9 "), b"5", b"\x00"),
    "magic": (_GNU, b"", b"ustar\0\0\0", b"ustar\x0011", b"ustar 00", b"tar"),
    "mode": (
        b"", b"       \0", b"100644 \0", b"\x80" + bytes(6) + b"\1",
        b"junk", bytes(8), b"0000777\0",
    ),
    "mtime": (
        b"", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"junk",
        b"77777777777 ", b"\x80" + bytes(11),
    ),
    "tail": (b"tar\0", b"\1" * 12),
    "checksum": (b"%07o\0", b"%06o \0", b"%8o", b"%07o ", b"%o", b"%06o\0\0", b"%08o"),
    "padding": (1, 255),
}  # fmt: skip
