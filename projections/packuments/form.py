"""The two forms of a packument, as bytes: the full one and the abbreviated one for installing.

A version is rendered once, when it is published, as a *fragment*: its version object without the
opening brace, ending where the tarball's URL begins. What may change later, the deprecation before
it and the URL after it, is added when a document is put together, which is one join.

Source: https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from packledger.domain.events.npm import NpmSignature, NpmVersionPublished
from packledger.domain.npm.names import tarball_filename

VersionRow = tuple[str, str, bytes, str]
"""A version, when it was published (RFC 3339, milliseconds), its fragment (empty: unpublished) and
its deprecation (empty: none); rows are in the order of publishing."""

_TARBALL = b',"tarball":"'
"""What every fragment ends with."""

_encode = msgspec.json.Encoder().encode
_Some = msgspec.Raw | msgspec.UnsetType


class PackumentHead(msgspec.Struct):
    """What of a package may change with every event; times are RFC 3339 with milliseconds.

    revision: number of events in the package's stream; maintainers, stars: account names;
    unpublished_at, unpublished_by: of a wholly unpublished package, else empty.
    """

    name: str
    revision: int
    created: str
    modified: str
    dist_tags: dict[str, str] = {}
    maintainers: list[str] = []
    stars: list[str] = []
    unpublished_at: str = ""
    unpublished_by: str = ""


class Person(msgspec.Struct):
    """npm wants both fields, and prints `alice <undefined>` without the second."""

    name: str
    email: str


def person(account: str) -> Person:
    """Return an account as npm shows it: addresses are in no document, so with one that is none."""
    return Person(account, f"{account}@noreply.invalid")


class _Described(msgspec.Struct, omit_defaults=True):
    """What the document's root repeats of the version that `latest` names."""

    description: _Some = msgspec.UNSET
    keywords: _Some = msgspec.UNSET
    license: _Some = msgspec.UNSET
    author: _Some = msgspec.UNSET
    contributors: _Some = msgspec.UNSET
    homepage: _Some = msgspec.UNSET
    bugs: _Some = msgspec.UNSET
    repository: _Some = msgspec.UNSET


class _Abbreviated(msgspec.Struct, omit_defaults=True, rename="camel"):
    """The documented fields, and `libc`, by which clients choose between optional packages."""

    name: _Some = msgspec.UNSET
    version: _Some = msgspec.UNSET
    dependencies: _Some = msgspec.UNSET
    accept_dependencies: _Some = msgspec.UNSET
    optional_dependencies: _Some = msgspec.UNSET
    dev_dependencies: _Some = msgspec.UNSET
    bundle_dependencies: _Some = msgspec.UNSET
    bundled_dependencies: _Some = msgspec.UNSET
    peer_dependencies: _Some = msgspec.UNSET
    peer_dependencies_meta: _Some = msgspec.UNSET
    bin: _Some = msgspec.UNSET
    directories: _Some = msgspec.UNSET
    engines: _Some = msgspec.UNSET
    has_shrinkwrap: _Some = msgspec.field(default=msgspec.UNSET, name="_hasShrinkwrap")
    has_install_script: _Some = msgspec.UNSET
    funding: _Some = msgspec.UNSET
    cpu: _Some = msgspec.UNSET
    os: _Some = msgspec.UNSET
    libc: _Some = msgspec.UNSET


_described = msgspec.json.Decoder(_Described).decode
_abbreviated = msgspec.json.Decoder(_Abbreviated).decode


class _Dist(msgspec.Struct, rename="camel", omit_defaults=True):
    """Without `tarball`, which is always its last field."""

    integrity: str
    shasum: str
    file_count: int
    unpacked_size: int
    signatures: tuple[NpmSignature, ...] = ()


def revision_text(head: PackumentHead) -> str:
    """Return `_rev` in CouchDB's style, `<n>-<16 hex digits>`: a function of name and n."""
    digest = hashlib.sha256(f"{head.name}@{head.revision}".encode()).hexdigest()
    return f"{head.revision}-{digest[:16]}"


def fragments(event: NpmVersionPublished) -> tuple[bytes, bytes]:
    """Return a version's fragments.

    The first is for the full form and for `GET /<package>/<version>`; the second for the
    abbreviated form has only the documented fields.
    """
    people = b',"maintainers":%b' % _encode([person(name) for name in event.maintainers])
    user = b',"_npmUser":%b' % _encode(person(event.by)) if event.by else b""
    dist = _open_dist(event)
    full = bytes(event.manifest)[1:-1] + user + people + dist
    return full, _encode(_abbreviated(event.manifest))[1:-1] + dist


def assemble_full(
    head: PackumentHead,
    rows: Sequence[VersionRow],
    latest: bytes | None,
    readme: tuple[str, str],
    public_url: str,
) -> bytes:
    """Return the full packument; of a wholly unpublished package, its tombstone.

    latest: the stored manifest of the version that `latest` names; readme: its README and the
    file's name; public_url: without a trailing slash.
    """
    name = _encode(head.name)
    text, filename = readme
    described = _encode(_described(latest))[1:-1] if latest else b""
    return b"".join(
        (
            b'{"_id":%b,"_rev":%b,"name":%b' % (name, _encode(revision_text(head)), name),
            b',"dist-tags":%b,"versions":{' % _encode(head.dist_tags),
            _versions(head.name, rows, public_url),
            b'},"time":%b' % _times(head, rows),
            b',"maintainers":%b' % _encode([person(owner) for owner in head.maintainers]),
            b',"users":%b' % _encode(dict.fromkeys(head.stars, True)),
            b"," + described if described else b"",
            b',"readme":%b,"readmeFilename":%b' % (_encode(text), _encode(filename)),
            b',"_attachments":{}}',
        )
    )


def assemble_abbreviated(head: PackumentHead, rows: Sequence[VersionRow], public_url: str) -> bytes:
    """Return the abbreviated packument. rows: with abbreviated fragments.

    `time` is not in the documented form; with it clients that look at the age of a version need
    no second request for the full form.
    """
    return b"".join(
        (
            b'{"name":%b,"modified":%b' % (_encode(head.name), _encode(head.modified)),
            b',"dist-tags":%b,"versions":{' % _encode(head.dist_tags),
            _versions(head.name, rows, public_url),
            b'},"time":%b}' % _times(head, rows),
        )
    )


def version_object(name: str, row: VersionRow, public_url: str) -> bytes:
    """Return one version object, as `GET /<package>/<version or tag>` shows it."""
    version, _, fragment, deprecated = row
    return _version(fragment, deprecated, _tarball_url(name, public_url), version.encode())


def at_root(document: bytes, public_url: str, npm_root: str) -> bytes:
    """Return a document with its tarballs at the root of a host of npm's own.

    No text can look like the key that is searched for: its quotes would be escaped.
    """
    canonical = b'"tarball":"%b' % _encode(f"{public_url}/npm/")[1:-1]
    return document.replace(canonical, b'"tarball":"%b' % _encode(f"{npm_root}/")[1:-1])


def _open_dist(event: NpmVersionPublished) -> bytes:
    dist = _Dist(
        event.integrity, event.shasum, event.file_count, event.unpacked_bytes, event.signatures
    )
    return b',"dist":%b%b' % (_encode(dist)[:-1], _TARBALL)


def signed(fragment: bytes, signature: NpmSignature) -> bytes:
    """Return the fragment of a version that had no signature with one."""
    return b'%b,"signatures":%b%b' % (
        fragment.removesuffix(_TARBALL),
        _encode([signature]),
        _TARBALL,
    )


def _tarball_url(name: str, public_url: str) -> bytes:
    """Return the URL of any of a package's tarballs up to the version, as JSON text."""
    directory = f"{public_url}/npm/{name}/-/"
    return _encode(directory + tarball_filename(name, "").removesuffix(".tgz"))[1:-1]


def _version(fragment: bytes, deprecated: str, tarball_url: bytes, version: bytes) -> bytes:
    message = b'"deprecated":%b,' % _encode(deprecated) if deprecated else b""
    return b'{%b%b%b%b.tgz"}}' % (message, fragment, tarball_url, version)


def _versions(name: str, rows: Iterable[VersionRow], public_url: str) -> bytes:
    url = _tarball_url(name, public_url)
    return b",".join(
        [
            b'"%b":%b' % (text := version.encode(), _version(fragment, deprecated, url, text))
            for version, _, fragment, deprecated in rows
            if fragment
        ]
    )


def _times(head: PackumentHead, rows: Sequence[VersionRow]) -> bytes:
    """Return `time`; versions that were unpublished keep theirs, as on the public registry."""
    times: dict[str, object] = {"created": head.created, "modified": head.modified}
    times.update((version, published_at) for version, published_at, _, _ in rows)
    if head.unpublished_at:
        times["unpublished"] = {
            "name": head.unpublished_by,
            "time": head.unpublished_at,
            "versions": [version for version, _, _, _ in rows],
        }
    return _encode(times)
