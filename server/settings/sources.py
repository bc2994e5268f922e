"""Where settings are set: the file, the environment, flags; each read into values by path.

Source of the file's format: https://toml.io/en/v1.0.0
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from packledger.server.settings.keys import PREFIX, TOKEN, Field, Path, Schema
from packledger.server.settings.service_links import is_service_link
from packledger.server.settings.values import BadSettings
from packledger.server.settings.words import Named, unknown

ENVIRONMENT = "the environment"


class Found:
    """What was set, the later the stronger. named: how and where, by dotted path.

    What was set nowhere is named as it would be written in the file, or the environment.
    """

    def __init__(self, schema: Schema, file: File | None) -> None:
        self.schema = schema
        self.values: dict[str, Any] = {}
        self.named: dict[str, Named] = {}
        for path in schema.keys:
            dotted = ".".join(path)
            name = schema.variable(path) if file is None else schema.flat_name(path) or dotted
            self.named[dotted] = Named(name)

    def take(self, path: Path, value: Any, named: Named) -> None:
        """Set one key, or a whole array of tables."""
        values = self.values
        for part in path[:-1]:
            values = values.setdefault(part, {})
        values[path[-1]] = value
        self.named[".".join(path)] = named

    def read_file(self, file: File) -> None:
        """Take what a file says; its relative paths are relative to it."""
        _FileReader(self, file).read()

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """Take our variables; a list is separated by commas, an array of tables is for the file."""
        schema = self.schema
        for name, text in environment.items():
            if not name.startswith(PREFIX) or name == TOKEN:
                continue
            path = schema.variables.get(name)
            if path is None:
                self._refuse_variable(name, text)
                continue
            value = text.split(",") if schema.keys[path].is_list else text
            self.take(path, value, Named(name, ENVIRONMENT))

    def _refuse_variable(self, name: str, text: str) -> None:
        if is_service_link(name.removeprefix(PREFIX), text):
            return
        for array in self.schema.arrays:
            if f"{name}_".startswith(f"{PREFIX}{array.upper()}_"):
                raise BadSettings(
                    f"`{name}` cannot be set: `{array}` are tables, `[[{array}]]` of a file that "
                    "`--config` names",
                    ENVIRONMENT,
                )
        names = [one.removeprefix(PREFIX) for one in self.schema.variables]
        raise unknown(name, ENVIRONMENT, names, PREFIX)

    def read_flags(self, flags: Mapping[str, Any]) -> None:
        """Take flags by their names above the first table; those that are None do not count."""
        for name, value in flags.items():
            if value is not None:
                self.take(self.schema.flat[name], value, Named(f"--{name}"))


class _FileReader:
    def __init__(self, found: Found, file: File) -> None:
        self._found, self._file, self._place = found, file, f"`{file}`"
        self._schema = found.schema

    def read(self) -> None:
        for key, value in self._content().items():
            field = self._schema.fields.get(key)
            if key in self._schema.flat:
                self._take(self._schema.flat[key], value, key)
            elif field is None or field.section is None:
                tables = [*self._schema.tables, *self._schema.arrays]
                raise unknown(key, self._place, [*self._schema.flat, *tables])
            elif field.many:
                self._take((key,), value, key)
            else:
                self._read_table(field, value)

    def _content(self) -> dict[str, Any]:
        shown = f"the settings file {self._place}"
        try:
            return tomllib.loads(self._file.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadSettings(f"{shown} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # tomllib passes on what Python says
            raise BadSettings(f"{shown} is not TOML: {error}") from error

    def _read_table(self, field: Field, value: Any) -> None:
        for key, inner in self._table(field.name, field, value).items():
            self._take((field.name, key), inner, f"{field.name}.{key}")

    def _take(self, path: Path, value: Any, name: str) -> None:
        dotted, place = ".".join(path), str(self._file)
        before = self._found.named.get(dotted)
        if before is not None and before.place:
            raise BadSettings(
                f"`{before.name}` and `{name}` are the same setting: keep one of them", place
            )
        field = self._schema.field_at(path)
        assert field is not None
        self._found.take(path, self._read(name, field, value), Named(name, place))

    def _read(self, at: str, field: Field, value: Any) -> Any:
        """Return a value with its paths beside the file; in tables every key must be known."""
        if field.section is None:
            beside = field.is_("path") and isinstance(value, str) and value
            return str(self._file.parent / value) if beside else value
        if not field.many:
            return self._row(at, field, value)
        if not isinstance(value, list):
            raise self._wrong_form(at, field)
        return [self._row(f"{at}[{number}]", field, row) for number, row in enumerate(value)]

    def _row(self, at: str, field: Field, value: Any) -> dict[str, Any]:
        return {
            key: self._read(f"{at}.{key}", field.fields[key], inner)
            for key, inner in self._table(at, field, value).items()
        }

    def _table(self, at: str, field: Field, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong_form(at, field)
        for key in value:
            self._check_known(f"{at}.{key}", key, field.fields)
        return value

    def _wrong_form(self, at: str, field: Field) -> BadSettings:
        """Return what is said of a section that is something else; its value may hold secrets."""
        return BadSettings(f"`{at}` must be {field.form}", str(self._file))

    def _check_known(self, at: str, key: str, known: Mapping[str, Field]) -> None:
        if key in known:
            return
        if key in self._schema.flat:  # TOML takes what stands below a table for a part of it
            raise BadSettings(
                f"unknown setting `{at}` in {self._place}; `{key}` must stand above the first table"
            )
        raise unknown(at, self._place, known, at.removesuffix(key))
