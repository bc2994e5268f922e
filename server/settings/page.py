"""The documentation of the settings, made from their definition."""

from collections.abc import Iterable

import msgspec

from packledger.domain.section import Section
from packledger.server.settings.keys import Field, Path, Schema, schema_of
from packledger.server.settings.written import toml_value

_INTRODUCTION = """# Configuration

Made by `packledger config docs` from the settings' definition.

Settings come from one TOML file (`--config FILE`), then the environment, then flags; the later
wins. An unknown key is an error that suggests the nearest. `packledger config check` prints what is
in force, passwords hidden.

```toml packledger.toml
# packledger.toml
data = "/var/lib/packledger"
listen = ["http://127.0.0.1:8765"]
public_url = "https://registry.example.com"
```

A key stands in its section's table, or, if it has a name there, above the first table of the file:
`[limits]` with `crate_bytes = 5` is `max_crate_bytes = 5`. Both at once are an error. Lists are
separated by commas in the environment; what is an array of tables, such as `[[name]]`, is set in
the file alone, and messages count its tables from 0: `name[2].key` is in the third one.

Whoever may write the file or start the process may set everything; nobody can over HTTP. Settings
are read when a process starts. Secrets are printed nowhere: not by `config check`, in messages or
in logs.
"""


def page_of(settings: type[Section]) -> str:
    """Return docs/configuration.md."""
    schema = schema_of(settings)
    parts = [_INTRODUCTION, *_plain(schema)]
    for name in schema.tables:
        field = schema.fields[name]
        keys = [(path, one) for path, one in schema.keys.items() if path[0] == name]
        parts += [_heading(field, f"[{name}]"), *_table(schema, keys)]
    for name in schema.arrays:
        field = schema.fields[name]
        parts += [_heading(field, f"[[{name}]]"), *_rows(name, field.fields.values())]
    return "".join(parts)


def _plain(schema: Schema) -> Iterable[str]:
    yield "\n## Above the first table\n\n| key | environment | default | |\n|---|---|---|---|\n"
    for path, field in schema.keys.items():
        if len(path) == 1:
            variable = schema.variable(path)
            about = field.about.description
            yield f"| `{field.name}` | `{variable}` | {_default(field)} | {about} |\n"


def _heading(field: Field, form: str) -> str:
    about = (field.section.__doc__ or "").strip() if field.section else ""
    return f"\n## `{form}`\n\n{about}\n\n"


def _table(schema: Schema, keys: Iterable[tuple[Path, Field]]) -> Iterable[str]:
    yield "| key | above the first table | environment | default | |\n|---|---|---|---|---|\n"
    inner: list[tuple[str, Field]] = []
    for path, field in keys:
        if field.section is not None:
            inner.append((".".join(path), field))
            continue
        flat = schema.flat_name(path)
        yield (
            f"| `{field.name}` | {f'`{flat}`' if flat else ''} | `{schema.variable(path)}` "
            f"| {_default(field)} | {field.about.description} |\n"
        )
    for at, field in inner:
        yield _heading(field, f"[[{at}]]" if field.many else f"[{at}]")
        yield from _rows(at, field.fields.values())


def _rows(at: str, fields: Iterable[Field]) -> Iterable[str]:
    """Return the table of keys that only a file can set."""
    yield "| key | default | |\n|---|---|---|\n"
    inner = []
    for field in fields:
        if field.section is not None:
            inner.append(field)
        else:
            yield f"| `{field.name}` | {_default(field)} | {field.about.description} |\n"
    for field in inner:
        below = f"{at}.{field.name}"
        yield _heading(field, f"[[{below}]]" if field.many else f"[{below}]")
        yield from _rows(below, field.fields.values())


def _default(field: Field) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required"
    return f"`{toml_value(field.default)}`" if field.default != "" else ""
