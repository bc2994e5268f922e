"""What a registry answers to a fixed list of requests, as it is written down and compared.

Documents, files and the history: their bytes never change. Searches and pages may, and are not
asked.
"""

import base64
from collections.abc import Iterator

import httpx

PUBLIC_URL = "https://registry.example.com"
ABBREVIATED = "application/vnd.npm.install-v1+json"
KEPT_HEADERS = ("content-type", "etag", "cache-control", "vary", "content-encoding", "location")
CRATES = ("demo-crate", "featured")
PACKAGES = ("demo", "@scope%2ftool", "left-over")
Answer = dict[str, object]


def paths(last: int) -> Iterator[tuple[str, str]]:
    """What is asked, with its Accept; `last`: the newest position. Files are last: they count."""
    yield "/cargo/index/config.json", "*/*"
    for name in (*CRATES, "nothing-here"):
        yield f"/cargo/index/{name[:2]}/{name[2:4]}/{name}", "*/*"
        yield f"/cargo/api/v1/crates/{name}/owners", "*/*"
    for name in (*PACKAGES, "nothing-here"):
        for form in ("*/*", ABBREVIATED):
            yield f"/npm/{name}", form
        yield f"/npm/-/package/{name}/dist-tags", "*/*"
    yield "/npm/demo/latest", "*/*"
    yield "/npm/demo/1.1.0", "*/*"
    yield "/npm/-/npm/v1/keys", "*/*"
    yield f"/audit/events?after=0&limit={last}", "*/*"
    yield "/audit/cargo/demo-crate", "*/*"
    yield "/audit/npm/demo", "*/*"
    yield "/log/vkey", "*/*"
    yield f"/log/tile/0/000.p/{last}", "*/*"
    yield f"/log/tile/entries/000.p/{last}", "*/*"
    for position in range(1, last, 5):
        yield f"/as-of/{position}/cargo/index/de/mo/demo-crate", "*/*"
        yield f"/as-of/{position}/npm/demo", "*/*"
    yield "/cargo/crates/demo-crate/2.0.0/download", "*/*"
    yield "/npm/demo/-/demo-2.0.0.tgz", "*/*"
    yield "/npm/left-over/-/left-over-1.0.0.tgz", "*/*"


def answers_of(url: str, token: str) -> dict[str, Answer]:
    """Status, kept headers and body (base64) of each answer, by `PATH ACCEPT`."""
    found: dict[str, Answer] = {}
    bearer = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, timeout=60, headers=bearer) as http:
        health = http.get("/health").json()
        for path, accept in paths(health["position"]):
            answer = http.get(path, headers={"accept": accept, "accept-encoding": "identity"})
            found[f"{path} {accept}"] = {
                "status": answer.status_code,
                "headers": {k: answer.headers[k] for k in KEPT_HEADERS if k in answer.headers},
                "body": base64.b64encode(answer.content).decode(),
            }
    return found
