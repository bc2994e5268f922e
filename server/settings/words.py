"""What is said of a setting that cannot be used, in the words of the place where it was set."""

import enum
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

PREFIX = "PACKLEDGER_"
SECRET = frozenset({"database", "s3_secret_key", "kafka_password"})
"""What is or holds a password: what is printed ends in tickets and the logs of containers."""
_KINDS = {bool: "`true` or `false`", int: "a whole number", float: "a number", str: "a text"}


class Source(enum.Enum):
    """Where a setting was set."""

    FILE = "{key}"
    ENVIRONMENT = PREFIX + "{upper}"
    FLAG = "--{key}"


def in_their_words(sentence: str, source_of: Mapping[str, Source]) -> str:
    """Name every key of a sentence as it is written in the place where it was set."""

    def named(match: re.Match[str]) -> str:
        key = match[1]
        written = source_of[key].value if key in source_of else "{key}"
        return f"`{written.format(key=key, upper=key.upper())}`"

    return re.sub(r"`(\w+)`", named, sentence)


def key_of(error: msgspec.ValidationError) -> str:
    """Return the key whose value msgspec refused; it ends with `$.key` or `$.key[0]`."""
    match = re.search(r"\$\.(\w+)", str(error))
    assert match is not None, error
    return match[1]


def given(key: str, values: Mapping[str, Any]) -> str:
    """Return `, not …` with the value that was given; nothing of what is secret."""
    value = values[key]
    if key in SECRET:
        return ""
    written = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    return f", not `{written}`"


def allowed(settings: type[msgspec.Struct], key: str) -> str:
    """Return what a key takes, such as `a whole number from 1 to 64`."""
    kind, *notes = get_args(get_type_hints(settings, include_extras=True)[key])
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list of texts"
    words = _KINDS[kind]
    for note in notes:
        if note.ge is not None and note.le is not None:
            return f"{words} from {note.ge:g} to {note.le:g}"
        if note.ge is not None:
            return f"{words}, at least {note.ge:g}"
    return words
