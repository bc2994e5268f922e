"""What people type into a search, taken apart: words, and npm's qualifiers.

Source: https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md (`GET /-/v1/search`)
"""

import re

import msgspec

_TOKEN = re.compile(r'(?:([a-z-]+):)?("[^"]*"|\S+)', re.IGNORECASE)
_WORD = re.compile(r"\w+")
_KEYWORDS = re.compile(r"[,+]?-?[^,+]+")

MAX_WORDS = 8
"""More words than this narrow nothing down, and each is a look-up."""
MAX_QUALIFIERS = 8
"""People and keywords, wanted and unwanted, together: later ones are not looked at."""
MAX_TEXT = 512
MAX_MISSPELT = 64
"""Letters of what may be a misspelt name: the time to compare it grows with them."""
MAX_SLIPS = 2


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
    _keep_first((people, wanted, unwanted))
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


def _keep_first(qualifiers: tuple[list[str], ...]) -> None:
    """Leave no more than `MAX_QUALIFIERS` of all kinds together."""
    left = MAX_QUALIFIERS
    for values in qualifiers:
        values[:] = list(dict.fromkeys(values))[:left]
        left -= len(values)


def phrase_of(words: tuple[str, ...]) -> str:
    """Return what FTS5 matches: all of the words, and longer ones that begin so.

    One letter stands for itself alone: a tenth of all words begin so.
    """
    return " ".join(f'"{word}"*' if len(word) > 1 else f'"{word}"' for word in words)


def close_enough(typed: str, name: str) -> bool:
    """Return whether a name may be what was meant: one slip in 4 to 7 letters, two in more."""
    allowed = 0 if len(typed) < 4 else 1 if len(typed) < 8 else MAX_SLIPS
    return slips(typed, name) <= allowed


def slips(left: str, right: str) -> int:
    """Return how many slips make one text of the other, one more than `MAX_SLIPS` for any more.

    A slip is a letter too many, too few, wrong, or two swapped (optimal string alignment). Letters
    further apart than `MAX_SLIPS` are not compared, so the time grows with the length alone.
    """
    more = MAX_SLIPS + 1
    if abs(len(left) - len(right)) > MAX_SLIPS:
        return more
    before: list[int] = []
    above = [min(column, more) for column in range(len(right) + 1)]
    for row, a in enumerate(left, 1):
        current = [more] * (len(right) + 1)
        current[0] = min(row, more)
        for column in range(max(1, row - MAX_SLIPS), min(len(right), row + MAX_SLIPS) + 1):
            b = right[column - 1]
            best = min(above[column] + 1, current[column - 1] + 1, above[column - 1] + (a != b))
            if row > 1 and column > 1 and a == right[column - 2] and left[row - 2] == b:
                best = min(best, before[column - 2] + 1)
            current[column] = min(best, more)
        before, above = above, current
    return above[-1]
