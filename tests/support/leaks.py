"""Look for tokens wherever a registry may have put one."""

import re

from running_registry import RunningRegistry

SECRET = re.compile(rb"pl[ks]_[A-Za-z0-9]{10}")
"""Ten letters of one count as a leak."""
MAKERS = re.compile(
    r"PUT /npm/-/user/org|POST /npm/-/npm/v1/tokens |POST /account/tokens |POST /login "
)
"""The requests whose answers may hold a token: the one that they made."""


def assert_nothing_leaked(private: RunningRegistry) -> None:
    """Neither the log, nor an event, nor a read model, nor any later answer holds a token."""
    for asked, answer in private.tap.answers():
        leak = SECRET.search(answer)
        assert leak is None or MAKERS.match(str(asked)), f"{asked}: {answer!r}"
    files = [private.log, *private.data.glob("**/*")]
    kept = {path.name: path.read_bytes() for path in files if path.is_file()}
    assert b"token.issued" in kept["events.sqlite"] + kept.get("events.sqlite-wal", b"")
    assert re.search(rb"GET /\S+ answered", kept["serve.log"]), "it logs every request"
    for name, content in kept.items():
        leak = SECRET.search(content)
        assert leak is None, f"{name}: {content[leak.start() - 200 : leak.end() + 50]!r}"
        assert b"password of" not in content, name
