"""How pages say times, sizes and counts, and which links they follow."""

from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from markupsafe import Markup, escape

from packledger.domain.ecosystems import CARGO

MAX_LINK = 60
_STEPS = ((60, "minute"), (3_600, "hour"), (86_400, "day"), (86_400 * 30, "month"))


def day(at: str) -> str:
    """Return the day of an RFC 3339 time: `21 Nov 2026`."""
    moment = _moment(at)
    return f"{moment.day} {moment:%b %Y}" if moment else at[:10]


def ago(at: str, now: datetime) -> str:
    """Return how long ago a time was: `3 hours ago`; the day itself beyond a month."""
    moment = _moment(at)
    if moment is None:
        return at[:10]
    passed_s = (now - moment).total_seconds()
    if passed_s < 60:
        return "just now"
    if passed_s >= _STEPS[-1][0]:
        return day(at)
    length_s, unit = next(step for step in reversed(_STEPS) if passed_s >= step[0])
    return f"{counted(int(passed_s // length_s), unit)} ago"


def _moment(at: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def size(size_bytes: int) -> str:
    """Return a size as people write it: `12.3 KiB`."""
    if size_bytes < 1024:
        return counted(size_bytes, "byte")
    value = size_bytes / 1024
    for unit in ("KiB", "MiB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} GiB"


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 version`, `2,000 versions`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def safe_url(url: str | None) -> str:
    """Return a link that a page may carry, empty for any other: only http and https lead out.

    `git+https://…` and `….git` of an npm repository become the page that they mean.
    """
    text = (url or "").strip().removeprefix("git+")
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    return text.removesuffix(".git")


def host(url: str) -> Markup:
    """Return what a link shows of itself: host and path, shortened, to be broken at slashes."""
    parts = urlsplit(url)
    shown = (parts.hostname or "").removeprefix("www.") + parts.path.rstrip("/")
    shown = shown if len(shown) <= MAX_LINK else shown[: MAX_LINK - 1] + "…"
    return Markup("/<wbr>").join(shown.split("/"))


def ticks(sentence: str) -> Markup:
    """Return a refusal's sentence as one on a page: backticks become code, all is escaped."""
    parts = (sentence[:1].upper() + sentence[1:]).split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def package_path(ecosystem: str, name: str, version: str = "") -> str:
    """Return the path of a package's page, or of one version's."""
    if ecosystem == CARGO:
        return f"/crates/{quote(name)}" + (f"/{quote(version)}" if version else "")
    return f"/packages/{quote(name, safe='@/')}" + (f"/v/{quote(version)}" if version else "")


FILTERS = {
    "day": day,
    "ago": ago,
    "size": size,
    "counted": counted,
    "host": host,
    "ticks": ticks,
    "query": lambda text: quote(text, safe=""),
}
