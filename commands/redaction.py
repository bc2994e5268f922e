"""Keep tokens out of what is kept or shown: log lines and error sentences, whoever put them there.

A token belongs into one header; people paste it into URLs, names and user names as well.
"""

import re

from packledger.commands.tokens import SECRET_LENGTH, SECRET_PREFIX, SESSION_PREFIX

# Also what was cut short: sentences show names up to a limit.
_SECRET = re.compile(rf"({SECRET_PREFIX}|{SESSION_PREFIX})[A-Za-z0-9]{{{SECRET_LENGTH // 4},}}")


def redacted(text: str) -> str:
    """Return a text with `plk_…` in the place of every token and of every long part of one."""
    return _SECRET.sub(r"\1…", text) if SECRET_PREFIX in text or SESSION_PREFIX in text else text
