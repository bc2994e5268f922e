"""What is said of a setting that cannot be used, in the words of the place where it was set."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from packledger.server.settings.keys import Field, Schema
from packledger.server.settings.values import BadSettings

_KINDS = {bool: "`true` or `false`", int: "a whole number", float: "a number", str: "a text"}
_NAME = re.compile(r"`([\w.\[\]]+)`")
_VALUE = ", not `"
"""What follows was given by somebody, and is left as it is."""


class Named(NamedTuple):
    """How a setting is written where it was set, and where that is; empty for a flag."""

    name: str
    place: str = ""


def in_their_words(error: BadSettings, named: Mapping[str, Named]) -> BadSettings:
    """Name every key of a sentence as it was written, and the place of the first one.

    named: by dotted path, such as `limits.crate_bytes`; an array by its own name alone.
    """
    sentence, given_value, value = str(error).partition(_VALUE)
    first = _NAME.search(sentence)
    place = error.place

    def written(match: re.Match[str]) -> str:
        nonlocal place
        known = named.get(match[1]) or named.get(match[1].partition("[")[0])
        if known is None:
            return match[0]
        if first is not None and match.start() == first.start():
            place = place or known.place
        return f"`{known.name if match[1] in named else match[1]}`"

    return BadSettings(_NAME.sub(written, sentence) + given_value + value, place)


def refusal(
    error: msgspec.ValidationError, schema: Schema, values: Mapping[str, Any]
) -> BadSettings:
    """Return what msgspec refused as a sentence about a dotted path."""
    message, at = str(error), ""
    if match := re.search(r" - at `\$\.?([^`]*)`$", message):
        message, at = message[: match.start()], match[1]
    path = tuple(re.findall(r"\w+", at))
    field = schema.field_at(path)
    if isinstance(error.__cause__, ValueError):
        return BadSettings(_qualified(str(error.__cause__), at, field))
    if missing := re.search(r"missing required field `(\w+)`", message):
        fields = field.fields if field is not None else schema.fields
        about = fields[missing[1]].about.description
        return BadSettings(f"`{at}.{missing[1]}` is missing: {about}")
    assert field is not None, error
    if field.is_list:
        at = re.sub(r"\[[^.]*\]$", "", at)
        path = tuple(re.findall(r"\w+", at))
    return BadSettings(f"`{at}` must be {allowed(field)}{_given(field, path, values)}")


def _qualified(sentence: str, at: str, field: Field | None) -> str:
    """Write the fields that a section names as dotted paths."""
    assert field is not None, sentence
    names = field.fields
    head, given_value, value = sentence.partition(_VALUE)

    def dotted(match: re.Match[str]) -> str:
        return f"`{at}.{match[1]}`" if match[1] in names else match[0]

    return _NAME.sub(dotted, head) + given_value + value


def _given(field: Field, path: Iterable[str], values: Any) -> str:
    """Return `, not …` with the value that was given; nothing of what is secret."""
    if field.is_("secret"):
        return ""
    for part in path:
        values = values[int(part) if isinstance(values, list) else part]
    written = (
        values if isinstance(values, str) else msgspec.json.encode(values, enc_hook=str).decode()
    )
    return f"{_VALUE}{written}`"


def allowed(field: Field) -> str:
    """Return what a key takes, such as `a whole number from 1 to 64`."""
    if get_origin(field.kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(field.kind))
    if field.is_list:
        return "a list of texts"
    words, ge, le = _KINDS[field.kind], field.about.ge, field.about.le
    if ge is not None and le is not None:
        return f"{words} from {ge:g} to {le:g}"
    return words if ge is None else f"{words}, at least {ge:g}"


def unknown(name: str, where: str, names: Iterable[str], prefix: str = "") -> BadSettings:
    """Return what is said of a key that there is not, with the nearest of those that there are.

    prefix: what stands before each of the names.
    """
    names = list(names)
    all_of = [f"{prefix}{one}" for one in names]
    near = difflib.get_close_matches(name.removeprefix(prefix), names, n=1)
    hint = f"did you mean `{prefix}{near[0]}`?" if near else f"the keys are {', '.join(all_of)}"
    return BadSettings(f"unknown setting `{name}` in {where}; {hint}")
