"""Numbers in a query that say how much is wanted.

A number out of range is a wish for more than there is: clients send `size=1000` because a user
said so, and fail on a refusal. They get what there is.
"""

import re

import falcon.asgi

from packledger.domain.errors import Invalid

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}")


def number(req: falcon.asgi.Request, parameter: str, default: int, *, least: int, most: int) -> int:
    """Return a parameter as the nearest number between two others; a default if it is not there.

    Raises:
        Invalid: it is no number at all.
    """
    text = req.get_param(parameter)
    if not text:
        return default
    if _NUMBER.fullmatch(text) is None:
        raise Invalid(f"`{parameter}` must be a number, not `{text[:40]}`")
    return min(max(int(text), least), most)
