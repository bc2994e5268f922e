"""Log lines: one JSON object each on standard error, with the request id, never with a secret."""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

from packledger.commands.redaction import redacted
from packledger.server.escapes import escaped

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLines(logging.Formatter):
    """Time, level, logger, message, then whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        # Also for programs that embed the registry, whose streams do not escape.
        return escaped(redacted(msgspec.json.encode(line, enc_hook=str).decode()))


def configure(level: str) -> None:
    """Send every logger of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
