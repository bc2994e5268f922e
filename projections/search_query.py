"""What people type into a search, taken apart: words, and npm's qualifiers.

Source: https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md (`GET /-/v1/search`)
"""

import re

import msgspec

_TOKEN = re.compile(r'(?:([a-z-]+):)?("[^"]*"|\S+)', re.IGNORECASE)
_WORD = re.compile(r"\w+")
_KEYWORDS = re.compile(r"[,+]?-?[^,+]+")

MAX_WORDS = 16
"""More words than this narrow nothing down, and each is a look-up."""
MAX_TEXT = 512


class Query(msgspec.Struct, frozen=True):
    """A search. text: without qualifiers, as typed; words: in lower case.

    people: owners or publishers, any of them; keywords: all of them; without_keywords: none;
    scope: without `@`; unstable: None if it does not matter.
    """

    text: str
    words: tuple[str, ...]
    people: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    without_keywords: tuple[str, ...] = ()
    scope: str = ""
    unstable: bool | None = None
    boost_exact: bool = True


def parse_query(typed: str) -> Query:
    """Return what a text asks for; nothing in it is an error, an unknown qualifier is a word."""
    rest: list[str] = []
    people: list[str] = []
    wanted: list[str] = []
    unwanted: list[str] = []
    flags: dict[str, str] = {}
    # SQLite takes neither a NUL in a query nor half a surrogate pair.
    clean = typed[:MAX_TEXT].replace("\0", " ").encode(errors="ignore").decode()
    for name, value in _TOKEN.findall(clean):
        said = value.strip('"')
        match name.lower():
            case "author" | "maintainer" | "publisher":
                people.append(said)
            case "keywords":
                _take_keywords(said, wanted, unwanted)
            case "scope" | "not" | "is" | "boost-exact" as flag:
                flags[flag if flag in {"scope", "boost-exact"} else f"{flag}:{said}"] = said
            case "":
                rest.append(said)
            case other:
                rest += [other, said]
    text = " ".join(rest)
    return Query(
        text=text,
        words=tuple(dict.fromkeys(_WORD.findall(text.lower())))[:MAX_WORDS],
        people=tuple(people),
        keywords=tuple(wanted),
        without_keywords=tuple(unwanted),
        scope=flags.get("scope", "").lstrip("@"),
        unstable=True if "is:unstable" in flags else False if "not:unstable" in flags else None,
        boost_exact=flags.get("boost-exact") != "false",
    )


def _take_keywords(said: str, wanted: list[str], unwanted: list[str]) -> None:
    """Take apart `a,b`, `a+b` and `a,-b`."""
    for keyword in _KEYWORDS.findall(said.lower()):
        bare = keyword.lstrip(",+")
        (unwanted if bare.startswith("-") else wanted).append(bare.lstrip("-"))


def close_enough(typed: str, name: str) -> bool:
    """Return whether a name may be what was meant: one slip in 4 to 7 letters, two in more.

    A slip is a letter too many, too few, wrong, or two swapped (optimal string alignment).
    """
    allowed = 0 if len(typed) < 4 else 1 if len(typed) < 8 else 2
    if abs(len(typed) - len(name)) > allowed:
        return False
    return slips(typed, name) <= allowed


def slips(left: str, right: str) -> int:
    """Return how many slips make one text of the other."""
    before: list[int] = []
    above = list(range(len(right) + 1))
    for row, a in enumerate(left, 1):
        current = [row]
        for column, b in enumerate(right, 1):
            best = min(above[column] + 1, current[-1] + 1, above[column - 1] + (a != b))
            swapped = row > 1 and column > 1 and a == right[column - 2] and left[row - 2] == b
            if swapped:
                best = min(best, before[column - 2] + 1)
            current.append(best)
        before, above = above, current
    return above[-1]
