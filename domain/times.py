"""Times as events hold them: RFC 3339, UTC, three digits of a second, `Z`; they compare as text."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """Return a time as events hold it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
