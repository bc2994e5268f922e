"""What a request says about its own host reaches no document, no redirect and no error."""

import json

import pytest

from raw_http import Answer, exchange
from target import Target
from uploads import npm_body

FORGED = "forged.example"
HEADERS = (
    f"Host: {FORGED}",
    f"X-Forwarded-Host: {FORGED}",
    f"X-Forwarded-Server: {FORGED}",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 4433",
    f"X-Forwarded-Prefix: /{FORGED}",
    "X-Forwarded-Ssl: on",
    f"X-Forwarded-For: {FORGED}",
    f"X-Script-Name: /{FORGED}",
    f"Script_Name: /{FORGED}",
    f"Forwarded: for=1.2.3.4;host={FORGED};proto=https",
    f"X-Original-Url: /{FORGED}",
    f"X-Rewrite-Url: /{FORGED}",
    f"X-Host: {FORGED}",
)
PATHS = (
    "/", "/login", "/setup", "/account", "/logout", "/search?q=victim", "/cargo", "/npm", "/cargo/",
    "/npm/", "/npm/victim", "/npm/victim/", "/npm/victim/latest", "/npm/@scope%2fvictim",
    "/npm/-/v1/search?text=victim", "/npm/-/v1/login", "/npm/-/whoami", "/npm/nowhere",
    "/npm/victim/-/victim-1.0.0.tgz", "/cargo/me", "/cargo/index/config.json",
    "/cargo/index/vi/ct/victim", "/cargo/index/vi/ct/nowhere", "/cargo/api/v1/crates?q=victim",
    "/cargo/api/v1/crates/victim/owners", "/cargo/crates/victim/1.0.0/download", "/health",
    "/crates/victim", "/packages/victim", "//forged.example/%2f..",
)  # fmt: skip


def ask(target: Target, path: str, *more: str) -> Answer:
    lines = [f"GET {path} HTTP/1.1", *HEADERS, "Connection: close", *more, "", ""]
    answer = exchange(target.port, "\r\n".join(lines).encode())
    assert answer is not None
    return answer


@pytest.mark.parametrize("path", PATHS)
def test_a_forged_host_reaches_nothing(target: Target, path: str) -> None:
    token = f"Authorization: Bearer {target.tokens['alice']}"
    for more in ((), (token,), ("Accept: text/html",), ("Accept: text/html", token)):
        answer = ask(target, path, *more)
        assert answer.status < 500
        everything = json.dumps(answer.headers)
        if "forged" not in path:
            everything += answer.body.decode("latin-1")
        assert FORGED not in everything.replace(path, "")
        assert "https://127.0.0.1" not in everything
        assert ":4433" not in everything
        location = answer.headers.get("location", "/")
        assert location.startswith(target.url) or (location[:1] == "/" and location[:2] != "//")


def test_what_is_published_with_a_forged_host_names_the_public_url(target: Target) -> None:
    body = json.dumps(npm_body({"name": "forged", "version": "1.0.0"})).encode()
    lines = [
        "PUT /npm/forged HTTP/1.1", *HEADERS, f"Content-Length: {len(body)}", "Connection: close",
        f"Authorization: Bearer {target.tokens['alice']}", "", "",
    ]  # fmt: skip
    answer = exchange(target.port, "\r\n".join(lines).encode() + body)
    assert answer is not None
    assert answer.status == 201
    packument = json.loads(ask(target, "/npm/forged").body)
    tarball = packument["versions"]["1.0.0"]["dist"]["tarball"]
    assert tarball == f"{target.url}/npm/forged/-/forged-1.0.0.tgz"


def test_every_answer_says_what_it_is(target: Target) -> None:
    for path in PATHS:
        assert ask(target, path).headers["x-content-type-options"] == "nosniff", path
