"""A request target in absolute form, which clients send to proxies, means the same here.

Source: https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
"""

import re
from typing import Any
from urllib.parse import unquote_to_bytes

_ABSOLUTE = re.compile(rb"https?://([^/?#@\\]+)(/[^?]*)?", re.IGNORECASE)


def in_origin_form(scope: dict[str, Any]) -> dict[str, Any]:
    """Return the scope with a path that begins with `/`, and with the host that the target named.

    What is neither form is returned as it is, and refused as no path.
    """
    if scope["raw_path"].startswith(b"/"):
        return scope
    found = _ABSOLUTE.fullmatch(scope["raw_path"])
    if found is None:
        return scope
    raw_path = found[2] or b"/"
    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "raw_path": raw_path,
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "headers": [(b"host", found[1]), *others],
    }
