"""Which kind of credential passes where: every route of the application, every kind of credential.

A credential passes if it is refused neither with 401 nor with 403, nor sent away to sign in. Routes
come from the application: a new one that is not in the table must refuse every stranger, and a
token that may only read if it changes anything.
"""

import base64
import dataclasses
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from packledger.commands import tokens
from packledger.commands.registry import Registry
from packledger.commands.tokens import TokenWish
from packledger.domain.accounts.permissions import LOGIN_SCOPES, OPERATOR, SCOPES, Identity
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from routes import Route, routes_of
from running_registry import RunningRegistry
from uploads import new_crate, npm_body
from visitor import Visitor

Headers = dict[str, str]
COOKIE = "packledger-session"


def bearer(secret: str) -> Headers:
    return {"authorization": f"Bearer {secret}"}


def basic(name: str, password: str) -> Headers:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


ALICES = {
    "unlimited": TokenWish(),
    "npm login": TokenWish(scopes=LOGIN_SCOPES),
    "read-only": TokenWish(read_only=True),
    "another package": TokenWish(packages=("other", "cargo:other*", "npm:@other/*", "c*", "n*")),
    **{f"scope {scope}": TokenWish(scopes=(scope,)) for scope in SCOPES},
}
ROOTS = {
    "admin": TokenWish(),
    "admin npm login": TokenWish(scopes=LOGIN_SCOPES),
    "admin read-only": TokenWish(read_only=True),
    "admin one crate": TokenWish(packages=("cargo:other",), scopes=LOGIN_SCOPES[:-1]),
    "admin files": TokenWish(read_only=True, scopes=("fetch-files",)),
}
STRANGERS = {
    "nobody", "unknown", "expired", "revoked", "disabled", "disabled password", "wrong password",
    "session as token", "session cookie", "token as cookie",
}  # fmt: skip
OWNER = {"unlimited", "npm login", "password", "admin", "admin npm login"}
KINDS = STRANGERS | {*ALICES, *ROOTS, "password", "another account"}
READERS = KINDS - STRANGERS


class Held(NamedTuple):
    """Everybody's credentials; spare: the id of a token of alice's that may do everything."""

    headers: dict[str, Headers]
    spare: str


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(tmp_path_factory.mktemp("kinds"))
    running.start()
    for name in ("alice", "bob", "dora"):
        running.add_user(name)
    running.add_user("root", "--admin")
    yield running
    running.close()


@pytest.fixture(scope="module")
def held(kinds: RunningRegistry) -> Iterator[Held]:
    settings = Settings(data=str(kinds.data), public_url=kinds.url)
    opened = wiring.open_registry(settings, create=False)
    visitor = Visitor(kinds).sign_in("alice")
    session = visitor.http.cookies[COOKIE]
    kinds.cli("user", "disable", "dora")
    yield Held(
        {
            "nobody": {},
            "unknown": bearer("plk_" + "x" * 40),
            "expired": bearer(_expired(opened)),
            "revoked": bearer(_revoked(opened)),
            "disabled": bearer(kinds.tokens["dora"]),
            "disabled password": basic("dora", "password of dora"),
            "wrong password": basic("alice", "password of bob"),
            "session as token": bearer(session),
            "session cookie": {"cookie": f"{COOKIE}={session}"},
            "token as cookie": {"cookie": f"{COOKIE}={_token(opened, 'alice', TokenWish())}"},
            "password": basic("alice", "password of alice"),
            "another account": bearer(kinds.tokens["bob"]),
            **{kind: bearer(_token(opened, "alice", wish)) for kind, wish in ALICES.items()},
            **{kind: bearer(_token(opened, "root", wish)) for kind, wish in ROOTS.items()},
        },
        _issue(opened, "alice", TokenWish())[1],
    )
    visitor.close()
    wiring.close_registry(opened)


def _issue(registry: Registry, name: str, wish: TokenWish) -> tuple[str, str]:
    secret, issued = tokens.issue_token(registry, registry.caller(OPERATOR), name, wish)
    return secret, issued.token_id


def _token(registry: Registry, name: str, wish: TokenWish) -> str:
    return _issue(registry, name, wish)[0]


def _expired(registry: Registry) -> str:
    then = datetime.now(UTC) - timedelta(days=2)
    earlier = dataclasses.replace(registry, now=lambda: then)
    return _token(earlier, "alice", TokenWish(expires_days=1))


def _revoked(registry: Registry) -> str:
    secret, token_id = _issue(registry, "alice", TokenWish())
    token = Identity("alice", token=token_id)
    tokens.revoke_token(registry, registry.caller(OPERATOR), token)
    return secret


class Act(NamedTuple):
    """Something that somebody may do. name: a package of alice's, of this act alone."""

    route: str
    passes: set[str]
    body: Callable[[str, str], dict[str, Any]] = lambda name, kind: {}


def _put_crate(name: str, kind: str) -> dict[str, Any]:
    return {"content": new_crate(name, _version_of(kind))}


def _put_npm(name: str, kind: str) -> dict[str, Any]:
    return {"json": npm_body({"name": name, "version": _version_of(kind)})}


def _version_of(kind: str) -> str:
    return f"2.0.{sorted(KINDS).index(kind)}"


def _json(body: Any) -> Callable[[str, str], dict[str, Any]]:
    return lambda name, kind: {"json": body}


def _changed(**fields: Any) -> Callable[[str, str], dict[str, Any]]:
    return lambda name, kind: {"json": {"_id": name, "name": name, **fields}}


_DEPRECATED = {"1.0.0": {"deprecated": "by an act"}}
_WISH = {"password": "password of alice", "name": "made"}
NPM_TOKEN = "/npm/-/npm/v1/tokens"
ANYBODY = {*OWNER, "another account"}
MANAGERS = {"npm login", "password", "admin npm login", "admin one crate", "scope manage-tokens"}

ACTS = [
    Act("PUT /cargo/api/v1/crates/new", {*OWNER, "scope publish-update"}, _put_crate),
    Act("DELETE /cargo/api/v1/crates/victim/1.0.0/yank", {*OWNER, "scope yank"}),
    Act("PUT /cargo/api/v1/crates/victim/1.0.0/unyank", {*OWNER, "scope yank"}),
    Act(
        "PUT /cargo/api/v1/crates/victim/owners",
        {*OWNER, "scope change-owners"},
        _json({"users": ["dan"]}),
    ),
    Act(
        "DELETE /cargo/api/v1/crates/victim/owners",
        {*OWNER, "scope change-owners"},
        _json({"users": ["dan"]}),
    ),
    Act("PUT /npm/victim", {*OWNER, "scope publish-update"}, _put_npm),
    Act("PUT /npm/victim", {*OWNER, "scope yank"}, _changed(versions=_DEPRECATED)),
    Act("PUT /npm/victim", {*ANYBODY, "scope stars"}, _changed(users={"alice": True})),
    Act(
        "PUT /npm/victim/-rev/undefined",
        {*OWNER, "scope change-owners"},
        _changed(maintainers=[{"name": "alice"}]),
    ),
    Act("PUT /npm/victim/-rev/undefined", {*OWNER, "scope yank"}, _changed(versions={})),
    Act("DELETE /npm/victim/-rev/undefined", {*OWNER, "scope yank"}),
    Act("DELETE /npm/victim/-/victim-1.0.0.tgz/-rev/undefined", {*OWNER, "scope yank"}),
    Act("PUT /npm/-/package/victim/dist-tags/next", {*OWNER, "scope dist-tags"}, _json("1.0.0")),
    Act("DELETE /npm/-/package/victim/dist-tags/next", {*OWNER, "scope dist-tags"}),
    Act(
        "PUT /npm/-/user/v1/star",
        {*ANYBODY, "scope stars"},
        lambda name, kind: {"json": {"package": name}},
    ),
    Act(
        "DELETE /npm/-/user/v1/star",
        {*ANYBODY, "scope stars"},
        lambda name, kind: {"json": {"package": name}},
    ),
    Act(
        "PUT /npm/-/package/victim/owners",
        {*OWNER, "scope change-owners"},
        _json({"user": "dan"}),
    ),
    Act("DELETE /npm/-/package/victim/owners/alice", {*OWNER, "scope change-owners"}),
    Act(f"GET {NPM_TOKEN}", MANAGERS),
    # The password of alice is needed as well, and is all that counts.
    Act(
        f"POST {NPM_TOKEN}",
        {"password", *ALICES},
        _json(_WISH),
    ),
    Act(f"DELETE {NPM_TOKEN}/token/SPARE", {"npm login", "password", "admin npm login"}),
    Act("GET /npm/-/whoami", READERS),
    Act("GET /npm/-/user/v1/star", READERS),
    Act("GET /cargo/api/v1/crates/victim/owners", READERS),
    Act("GET /audit/cargo/victim", READERS),
    Act("GET /audit/npm/victim", READERS),
    Act("GET /audit/events", READERS),
    Act("GET /audit/blobs/victim", {"admin", "admin npm login", "admin files"}),
    Act("GET /account", {"session cookie"}),
    Act("HEAD /account", {"session cookie"}),
]
IDS = [f"{act.route} {number}" for number, act in enumerate(ACTS)]
OPEN_FORMS = {"POST /login", "POST /setup", "POST /logout"}
"""Everybody may send them; each has an answer of its own to whoever may not."""
NO_CREDENTIAL = {
    # A password in the body, or the token that ends in the path.
    "PUT /npm/-/user/org.couchdb.user:alice",
    "PUT /npm/-/user/org.couchdb.user:alice/-rev/victim",
    "DELETE /npm/-/user/token/plk_x",
    # What is known to be wrong with packages that are named in the body.
    "POST /npm/-/npm/v1/security/advisories/bulk",
    "POST /npm/-/npm/v1/security/audits",
    "POST /npm/-/npm/v1/security/audits/quick",
}


def passes(answer: httpx.Response) -> bool:
    assert answer.status_code < 500, answer.text
    sent_away = answer.status_code == 303 and answer.headers["location"].endswith("/login")
    return answer.status_code not in {401, 403} and not sent_away


@pytest.fixture(scope="module")
def victims(kinds: RunningRegistry) -> None:
    if "dan" not in kinds.tokens:
        kinds.add_user("dan")
    for number in [*range(len(ACTS)), ""]:
        name, who = f"victim{number}", kinds.token()
        crate, npm = new_crate(name, "1.0.0"), npm_body({"name": name, "version": "1.0.0"})
        put = kinds.http.put
        put("/cargo/api/v1/crates/new", content=crate, headers=who).raise_for_status()
        put(f"/npm/{name}", json=npm, headers=who).raise_for_status()


@pytest.mark.usefixtures("victims")
@pytest.mark.parametrize("number", range(len(ACTS)), ids=IDS)
def test_a_kind_of_credential_passes_where_the_table_says(
    kinds: RunningRegistry, held: Held, number: int
) -> None:
    act, name = ACTS[number], f"victim{number}"
    method, _, path = act.route.partition(" ")
    path = path.replace("victim", name).replace("SPARE", held.spare)
    # First who may not: nothing is changed while they are asked.
    for kind in sorted(KINDS, key=lambda kind: (kind in act.passes, kind)):
        body = act.body(name, kind)
        answer = kinds.http.request(method, path, headers=held.headers[kind], **body)
        said = f"{kind}: {answer.status_code} {answer.text[:200]}"
        assert passes(answer) is (kind in act.passes), said


@pytest.mark.usefixtures("victims")
def test_a_new_package_needs_a_token_that_may_make_one(kinds: RunningRegistry, held: Held) -> None:
    may = {*ANYBODY, "scope publish-new"}
    for number, kind in enumerate(sorted(KINDS)):
        name, headers = f"fresh{number}", held.headers[kind]
        crate, npm = new_crate(name, "1.0.0"), npm_body({"name": name, "version": "1.0.0"})
        put = kinds.http.put
        answers = [
            put("/cargo/api/v1/crates/new", content=crate, headers=headers),
            put(f"/npm/{name}", json=npm, headers=headers),
        ]
        for answer in answers:
            assert passes(answer) is (kind in may), f"{kind}: {answer.text}"


@pytest.mark.usefixtures("victims")
def test_every_other_change_refuses_strangers_and_who_may_only_read(
    kinds: RunningRegistry, held: Held
) -> None:
    """Those that are in no table: a new route is closed without being named here."""
    known = {_shape(act.route) for act in ACTS} | {_shape(one) for one in NO_CREDENTIAL}
    forms = OPEN_FORMS | {_shape("POST /account/tokens"), _shape("POST /account/tokens/revoke")}
    for method, path in routes_of(kinds.data):
        if method in {"GET", "HEAD"} or _shape(f"{method} {path}") in known | forms:
            continue
        says_so_already = path.endswith("/access")  # and changes nothing
        for kind in STRANGERS | (set() if says_so_already else {"read-only"}):
            answer = kinds.http.request(method, path, headers=held.headers[kind], json={})
            assert not passes(answer), f"{method} {path} {kind}: {answer.status_code}"


def _shape(route: str) -> str:
    return re.sub(r"plk_x|SPARE|2-0|undefined", "…", route)


def test_every_act_is_of_a_route_that_is_there(kinds: RunningRegistry) -> None:
    shapes = {_shape(f"{one.method} {one.path}") for one in routes_of(kinds.data)}
    for act in ACTS:
        wanted = _shape(act.route)
        assert wanted in shapes, act.route


FORMS: list[Route] = [
    Route("POST", "/account/tokens"),
    Route("POST", "/account/tokens/revoke"),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_no_token_in_a_cookie_sends_a_form(kinds: RunningRegistry, held: Held, form: Route) -> None:
    """Neither with the digest that was once a form's token, nor with an anonymous form's."""
    before = kinds.cli("token", "list", "--user", "alice")
    visitor = Visitor(kinds)
    anonymous = visitor.form_token("/login")
    for kind in [*ALICES, "another account", *ROOTS]:
        secret = held.headers[kind]["authorization"].removeprefix("Bearer ")
        digest = hmac.new(secret.encode(), b"packledger form", hashlib.sha256).hexdigest()
        visitor.http.cookies.set(COOKIE, secret)
        for given in (digest, anonymous):
            fields = {"label": "more", "days": "", "token_id": held.spare, "access": "write"}
            answer = visitor.post(form.path, form_token=given, **fields)
            assert not passes(answer), f"{kind}: {answer.status_code}"
            assert "plk_" not in answer.text
    visitor.close()
    assert kinds.cli("token", "list", "--user", "alice") == before


def test_a_form_token_cannot_be_computed_from_the_cookie(kinds: RunningRegistry) -> None:
    """It depends on a key of the registry's own."""
    visitor = Visitor(kinds).sign_in("alice")
    secret = visitor.http.cookies[COOKIE]
    shown = visitor.form_token("/account")
    for key, said in ((secret, "packledger form"), ("packledger form", secret), ("", secret)):
        computed = hmac.new(key.encode(), said.encode(), hashlib.sha256).hexdigest()
        assert shown != computed
    again = visitor.form_token("/account")
    assert shown == again, "the same in every worker"
    visitor.close()
