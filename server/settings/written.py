"""Settings as a file says them, without secrets.

Source of the format: https://toml.io/en/v1.0.0
"""

import math
from collections.abc import Iterator

import msgspec

from packledger.domain.section import Section
from packledger.server.settings.keys import fields_of, schema_of


def toml_of(settings: Section) -> str:
    """Return the file that says these settings, a line for each key, secrets hidden.

    Read back it gives the same settings, but for what is hidden.
    """
    schema = schema_of(type(settings))
    lines = []
    for flat, path in schema.flat.items():
        section = getattr(settings, path[0]) if len(path) > 1 else settings
        lines.append(f"{flat} = {toml_value(section.shown(path[-1]))}")
    for name in schema.tables:
        flat_keys = [path[1] for path in schema.flat.values() if path[0] == name]
        lines += _table(name, getattr(settings, name), f"[{name}]", flat_keys)
    for name in schema.arrays:
        for row in getattr(settings, name):
            lines += _table(name, row, f"[[{name}]]")
    return "\n".join(lines) + "\n"


def _table(at: str, section: Section, header: str, without: list[str] | None = None) -> list[str]:
    """Return the lines of a table and of those inside; the header of an empty one is left out.

    A row of an array is never left out.
    """
    fields = fields_of(type(section))
    lines = [
        f"{name} = {toml_value(section.shown(name))}"
        for name, field in fields.items()
        if field.section is None and name not in (without or ())
    ]
    head = ["", header] if lines or header.startswith("[[") else []
    return [*head, *lines, *_inner(at, section)]


def _inner(at: str, section: Section) -> Iterator[str]:
    for name, field in fields_of(type(section)).items():
        value, inside = getattr(section, name), f"{at}.{name}"
        if field.many:
            for row in value:
                yield from _table(inside, row, f"[[{inside}]]")
        elif field.section is not None:
            yield from _table(inside, value, f"[{inside}]")


def toml_value(value: object) -> str:
    """Return a value as TOML writes it: almost always as JSON does."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
