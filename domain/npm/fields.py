"""The fields of a package.json that clients rely on, each made to have the type they expect.

npm repairs or drops what is wrong when it publishes; other clients and hand-made requests do not,
and a decoder that is strict about types (pnpm's) would refuse the whole packument for one field
of one old version. So: what npm repairs is repaired in the same way, the rest is dropped. Only
dependencies that would silently vanish are refused.

Source: `normalize.js` and `normalize-data.js` of https://github.com/npm/package-json
"""

import posixpath
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from packledger.domain.errors import Invalid
from packledger.domain.npm.names import parse_name
from packledger.domain.npm.repository import normalise_repository

Fields = dict[str, Any]

DROP = object()
"""What a rule returns when the field is to go."""

DEPENDENCY_FIELDS = (
    "dependencies",
    "devDependencies",
    "optionalDependencies",
    "peerDependencies",
    "acceptDependencies",
)
_BIN_PREFIX = re.compile(r"^(?:\.[/\\])?node_modules[/\\].bin[\\/]")
_PERSON = (re.compile(r"^([^(<]+)"), re.compile(r"<([^<>]+)>"), re.compile(r"\(([^()]+)\)"))


def clean_fields(fields: Fields) -> None:
    """Repair or drop the known fields, in place; unknown ones stay as they are.

    Raises:
        Invalid: dependencies in a form that would be lost.
    """
    if "bundledDependencies" in fields:
        fields.setdefault("bundleDependencies", fields["bundledDependencies"])
        del fields["bundledDependencies"]
    for field in DEPENDENCY_FIELDS:
        if field in fields:
            _put(fields, field, _dependencies(field, fields[field]))
    if "bin" in fields:
        _put(fields, "bin", _bin(fields["bin"], fields["name"]))
    if "bundleDependencies" in fields:
        _put(fields, "bundleDependencies", _bundle(fields))
    for field, rule in _RULES.items():
        if field in fields:
            _put(fields, field, rule(fields[field]))


def _put(fields: Fields, field: str, value: object) -> None:
    if value is DROP:
        del fields[field]
    else:
        fields[field] = value


def _string(value: object) -> object:
    return value if isinstance(value, str) else DROP


def _strings(value: object) -> object:
    """A list of strings; a string alone stands for one."""
    if isinstance(value, str):
        return [value] if value else DROP
    if not isinstance(value, list):
        return DROP
    return [item for item in value if item and isinstance(item, str)]


def _string_map(value: object) -> object:
    if not isinstance(value, dict):
        return DROP
    # `__proto__` as a key changes the object itself in clients that copy maps key by key
    return {
        key: text for key, text in value.items() if isinstance(text, str) and key != "__proto__"
    }


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _dependencies(field: str, value: object) -> object:
    if value and isinstance(value, str | list):
        raise Invalid(
            f"`{field}` in package.json must be an object from names to version ranges, "
            f"not a {'list' if _is_list(value) else 'text'}"
        )
    return {} if value == [] else _string_map(value)


def _bundle(fields: Fields) -> object:
    value = fields["bundleDependencies"]
    dependencies = fields.get("dependencies", {})
    names = list(dependencies) if value is True else value
    names = _strings(list(names) if isinstance(names, dict) else names)
    if not isinstance(names, list):
        return DROP
    missing = [name for name in names if name not in dependencies and name != "__proto__"]
    if missing:
        fields["dependencies"] = {**dependencies, **dict.fromkeys(missing, "*")}
    return names


def _bin(value: object, name: str) -> object:
    if isinstance(value, str):
        value = {parse_name(name)[1]: value}
    elif isinstance(value, list):
        value = {posixpath.basename(item): item for item in value if isinstance(item, str)}
    if not isinstance(value, dict):
        return DROP
    commands = {}
    for command, target in value.items():
        base = posixpath.basename(inner_path(command))
        if isinstance(target, str) and base not in {"", "__proto__"} and inner_path(target):
            commands[base] = inner_path(target)
    return commands or DROP


def inner_path(path: str) -> str:
    """Return a path of the package as npm secures it: relative, `/` only, never above the root."""
    inner = posixpath.normpath("/" + re.sub(r"[\\:]", "/", path)).lstrip("/")
    return inner + "/" if inner and path.endswith("/") else inner


def _man(value: object) -> object:
    pages = _strings(value)
    if not isinstance(pages, list):
        return DROP
    return [page for page in map(inner_path, pages) if page] or DROP


def _scripts(value: object) -> object:
    scripts = _string_map(value)
    if not isinstance(scripts, dict):
        return DROP
    return {name: _BIN_PREFIX.sub("", script) for name, script in scripts.items()}


def _keywords(value: object) -> object:
    return _strings(re.split(r",\s+", value) if isinstance(value, str) else value)


def _peer_meta(value: object) -> object:
    if not isinstance(value, dict):
        return DROP
    return {
        peer: {
            key: flag for key, flag in meta.items() if key != "optional" or isinstance(flag, bool)
        }
        for peer, meta in value.items()
        if isinstance(meta, dict) and peer != "__proto__"
    }


def _repository(value: object) -> object:
    if isinstance(value, str):
        value = {"type": "git", "url": value} if value else {}
    said = _string_map(value)
    if isinstance(said, dict) and "url" in said:
        said["url"] = normalise_repository(said["url"])
    return said or DROP


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path))


def _bugs(value: object) -> object:
    if isinstance(value, str):
        value = {"url": value} if _is_url(value) else {"email": value}
    bugs = _string_map(value)
    if not isinstance(bugs, dict):
        return DROP
    if "web" in bugs:
        bugs.setdefault("url", bugs.pop("web"))
    kept = {}
    if _is_url(bugs.get("url", "")):
        kept["url"] = bugs["url"]
    if "@" in bugs.get("email", ""):
        kept["email"] = bugs["email"]
    return kept or DROP


def _homepage(value: object) -> object:
    if not value or not isinstance(value, str):
        return DROP
    return value if _is_url(value) else "http://" + value


def _person(value: object) -> object:
    if isinstance(value, str):
        found = [pattern.search(value) for pattern in _PERSON]
        parts = [match and match[1] for match in found]
    elif isinstance(value, dict):
        web, mail = value.get("web"), value.get("mail")
        parts = [value.get("name"), value.get("email", mail), value.get("url", web)]
    else:
        return DROP
    named = zip(("name", "email", "url"), parts, strict=True)
    person = {key: part.strip() for key, part in named if isinstance(part, str) and part.strip()}
    return person or DROP


def _people(value: object) -> object:
    people = [value] if isinstance(value, str | dict) else value
    if not isinstance(people, list):
        return DROP
    return [person for person in map(_person, people) if person is not DROP]


def _license(value: object) -> object:
    if isinstance(value, str):
        return value or DROP
    if isinstance(value, list):
        licenses = [_license(item) for item in value if isinstance(item, str | dict)]
        return [item for item in licenses if item is not DROP] or DROP
    return _string_map(value) or DROP


def _funding(value: object) -> object:
    if isinstance(value, list):
        sources = [source for source in map(_funding, value) if isinstance(source, str | dict)]
        return sources or DROP
    if isinstance(value, dict):
        return _string_map(value) if isinstance(value.get("url"), str) else DROP
    return value if value and isinstance(value, str) else DROP


_RULES: dict[str, Callable[[Any], object]] = {
    **dict.fromkeys(("description", "main", "module", "types", "typings", "type"), _string),
    **dict.fromkeys(("packageManager", "readmeFilename", "licence"), _string),
    **dict.fromkeys(("os", "cpu", "libc", "files"), _strings),
    **dict.fromkeys(("engines", "directories"), _string_map),
    "author": _person,
    "bugs": _bugs,
    "contributors": _people,
    "funding": _funding,
    "homepage": _homepage,
    "keywords": _keywords,
    "license": _license,
    "man": _man,
    "peerDependenciesMeta": _peer_meta,
    "repository": _repository,
    "scripts": _scripts,
}
