"""What a struct of settings takes, read from its fields: every key by each of its names."""

import functools
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from packledger.domain.section import Section

PREFIX = "PACKLEDGER_"
TOKEN = f"{PREFIX}TOKEN"
"""Of another node; for a command, and no setting."""
Path = tuple[str, ...]
"""Where a setting is: in a section, `("limits", "crate_bytes")`, or in none, `("data",)`."""


class Field(NamedTuple):
    """One field of a section. section: of what its tables are; many: it is an array of them."""

    name: str
    kind: Any
    about: msgspec.Meta
    default: Any
    section: type[Section] | None
    many: bool

    @property
    def fields(self) -> "dict[str, Field]":
        """The fields of its tables, by name."""
        assert self.section is not None, self.name
        return fields_of(self.section)

    @property
    def form(self) -> str:
        """How its tables are written in a file."""
        if self.many:
            return f"an array of tables, `[[{self.name}]]`"
        return f"a table, `[{self.name}]`"

    @property
    def is_list(self) -> bool:
        """Whether it is a list of texts."""
        return self.section is None and get_origin(self.kind) is tuple

    def is_(self, what: str) -> bool:
        """Whether it is `secret` or a `path`."""
        return bool((self.about.extra or {}).get(what))


@functools.cache
def fields_of(section: type[Section]) -> dict[str, Field]:
    """Return the fields of a section by name."""
    hints = get_type_hints(section, include_extras=True)
    return {one.name: _field(one, hints[one.name]) for one in msgspec.structs.fields(section)}


def _field(one: msgspec.structs.FieldInfo, hint: Any) -> Field:
    annotated = get_origin(hint) is Annotated
    kind, about = get_args(hint)[:2] if annotated else (hint, msgspec.Meta())
    many = get_origin(kind) is tuple
    inner = get_args(kind)[0] if many else kind
    section = inner if isinstance(inner, type) and issubclass(inner, Section) else None
    return Field(one.name, kind, about, one.default, section, many and section is not None)


class Schema:
    """Every key of a struct of settings: those above the first table, and those of each table.

    flat: paths by the name above the first table; variables: by that in the environment; tables
    and arrays: the names of both.
    """

    def __init__(self, settings: type[Section]) -> None:
        self.settings = settings
        self.fields = fields_of(settings)
        self.keys: dict[Path, Field] = {}
        self.flat: dict[str, Path] = {}
        self.variables: dict[str, Path] = {}
        self.tables = [f.name for f in self.fields.values() if f.section and not f.many]
        self.arrays = [f.name for f in self.fields.values() if f.many]
        for field in self.fields.values():
            if field.section is None:
                self._add((field.name,), field)
            elif not field.many:
                for inner in field.fields.values():
                    self._add((field.name, inner.name), inner)
        clash = self.flat.keys() & {*self.tables, *self.arrays}
        assert not clash, f"{clash}: a key and a table cannot have the same name"

    def _add(self, path: Path, field: Field) -> None:
        self.keys[path] = field
        flat = self.flat_name(path)
        if flat:
            assert flat not in self.flat, f"two settings are called {flat}"
            self.flat[flat] = path
        if field.section is None:
            variable = self.variable(path)
            assert variable not in {TOKEN, *self.variables}, f"two settings are called {variable}"
            self.variables[variable] = path

    def flat_name(self, path: Path) -> str:
        """Return what a setting is called above the first table; empty if only in its table."""
        field = self.keys[path]
        return field.name if len(path) == 1 else str((field.about.extra or {}).get("flat", ""))

    def variable(self, path: Path) -> str:
        """Return what a setting is called in the environment."""
        return PREFIX + (self.flat_name(path) or "_".join(path)).upper()

    def field_at(self, path: Path) -> Field | None:
        """Return the field at a path into the values, whatever follows it; numbers are rows."""
        found, fields = None, self.fields
        for part in path:
            if part.isdigit():
                continue
            found = fields.get(part)
            if found is None or found.section is None:
                break
            fields = found.fields
        return found


schema_of = functools.cache(Schema)
