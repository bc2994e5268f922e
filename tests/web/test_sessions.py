"""Signing in and out, forms that others cannot send, and one's own tokens."""

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from running_registry import RunningRegistry
from visitor import Visitor

StartRegistry = Callable[..., RunningRegistry]


@pytest.fixture
def alice(registry: RunningRegistry) -> Iterator[Visitor]:
    one = Visitor(registry).sign_in("alice")
    yield one
    one.close()


def session_of(visitor: Visitor) -> str:
    return visitor.http.cookies["packledger-session"]


def is_signed_in(registry: RunningRegistry, session: str) -> bool:
    cookie = {"cookie": f"packledger-session={session}"}
    return registry.http.get("/account", headers=cookie).status_code == 200


def whoami(registry: RunningRegistry, token: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return registry.http.get("/npm/-/whoami", headers=headers)


def create_token(visitor: Visitor, **fields: object) -> str:
    wanted = {"label": "a token", "days": "7", "access": "write", "packages": ""} | fields
    answer = visitor.post("/account/tokens", page="/account", **wanted)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found = re.search(r"plk_[A-Za-z0-9]{40}", answer.text)
    assert found
    return found[0]


def token_id(registry: RunningRegistry, label: str) -> str:
    lines = registry.cli("token", "list", "--user", "alice").splitlines()
    return next(re.findall(r"\b[0-9a-f]{12}\b", line)[0] for line in lines if label in line)


def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_do_not_get(
    visitor: Visitor,
) -> None:
    answer = visitor.post("/login", name="alice", password="password of alice")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    cookie = next(
        one for one in answer.headers.get_list("set-cookie") if one.startswith("packledger-session")
    )
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"):
        assert part in cookie
    assert "Secure" not in cookie, "this registry is on http, as its public URL says"


def test_behind_https_the_cookies_are_bound_to_the_host(start_registry: StartRegistry) -> None:
    registry = start_registry(public_url="https://registry.example.com")
    cookie = registry.http.get("/login").headers["set-cookie"]
    assert cookie.startswith("__Host-packledger-form=")
    for part in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie


def test_a_wrong_password_says_no_more_than_that(visitor: Visitor) -> None:
    answers = [
        visitor.post("/login", name=name, password="wrong")
        for name in ("alice", "nobody", "<b>", "", "a" * 5000)
    ]
    for answer in answers:
        assert answer.status_code == 403
        assert "Incorrect account name or password" in answer.text
        assert "www-authenticate" not in answer.headers, "a browser would ask in a box of its own"
        assert "packledger-session" not in answer.headers.get("set-cookie", "")
        assert "<b>" not in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1:1"])
def test_a_form_of_another_site_is_refused(visitor: Visitor, origin: str) -> None:
    answer = visitor.post(
        "/login", name="alice", password="password of alice", headers={"origin": origin}
    )
    assert answer.status_code == 403
    assert "sent by another site" in answer.text
    assert "packledger-session" not in visitor.http.cookies


def test_a_cross_site_request_without_origin_is_refused_by_fetch_metadata(
    alice: Visitor,
) -> None:
    data = {"form_token": alice.form_token("/account")}
    headers = {"sec-fetch-site": "cross-site"}
    assert alice.http.post("/logout", data=data, headers=headers).status_code == 403


@pytest.mark.parametrize("given", ["", "0" * 64, "é"])
def test_a_form_without_its_token_is_refused(
    registry: RunningRegistry, alice: Visitor, given: str
) -> None:
    for path in ("/logout", "/account/tokens", "/account/tokens/revoke", "/login", "/setup"):
        answer = alice.post(path, form_token=given, label="x", days="7")
        assert answer.status_code == 403, path
    assert is_signed_in(registry, session_of(alice))


def test_a_form_token_of_another_session_is_refused(
    registry: RunningRegistry, alice: Visitor
) -> None:
    bob = Visitor(registry).sign_in("bob")
    other = bob.form_token("/account")
    assert alice.post("/logout", form_token=other).status_code == 403
    bob.close()


def test_changes_need_a_post_and_a_form(alice: Visitor) -> None:
    for path in ("/logout", "/account/tokens", "/account/tokens/revoke"):
        assert alice.get(path).status_code == 405, path
    token = alice.form_token("/account")
    assert alice.http.post("/logout", json={"form_token": token}).status_code == 400
    assert alice.http.post("/logout", content=b"x" * 100_000).status_code in {400, 413}


def test_no_parameter_redirects_anywhere_else(visitor: Visitor) -> None:
    for parameter in ("next", "url", "return_to", "redirect"):
        path = f"/login?{parameter}=https://evil.example.com"
        assert "evil" not in visitor.get(path).text
        answer = visitor.post(
            path, page="/login", name="alice", password="password of alice",
            **{parameter: "//evil.example.com"},
        )  # fmt: skip
        assert answer.headers["location"] == "/account"
        visitor.http.cookies.clear()
    assert visitor.get(f"{visitor.url}//evil.example.com/").status_code == 400


def test_signing_out_ends_the_session_on_the_server(
    registry: RunningRegistry, alice: Visitor
) -> None:
    secret = session_of(alice)
    assert is_signed_in(registry, secret)
    answer = alice.post("/logout", page="/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "packledger-session" not in alice.http.cookies
    assert not is_signed_in(registry, secret)
    assert alice.get("/account").headers["location"] == "/login"


def test_a_dead_session_is_nobody_and_harms_no_page(alice: Visitor) -> None:
    alice.http.cookies.clear()
    alice.http.cookies.set("packledger-session", "plk_" + "x" * 40)
    assert alice.get("/").status_code == 200
    assert alice.get("/account").status_code == 303


def test_a_session_is_no_credential_for_clients(registry: RunningRegistry, alice: Visitor) -> None:
    """Else any site could publish through a visitor's browser. Nor is it a token."""
    assert whoami(registry, session_of(alice)).status_code == 401
    answer = alice.http.get("/npm/-/whoami")
    assert answer.status_code == 401
    assert alice.http.put("/cargo/api/v1/crates/new", content=b"").status_code == 401


def test_a_token_is_shown_once_and_does_what_it_was_made_for(
    registry: RunningRegistry, alice: Visitor
) -> None:
    secret = create_token(alice, label="<job>", scope=["yank"], packages="npm:@acme/*, serde")
    assert whoami(registry, secret).json() == {"username": "alice"}
    page = alice.get("/account").text
    assert secret not in page
    assert "&lt;job&gt;" in page
    assert "May yank, deprecate and unpublish; for npm:@acme/*, serde alone" in page
    read_only = create_token(alice, label="reader", access="read")
    answer = registry.http.put("/npm/x", json={}, headers={"authorization": f"Bearer {read_only}"})
    assert answer.status_code in {400, 403}
    assert secret not in registry.log.read_text()


def test_a_token_form_that_makes_no_sense_keeps_what_was_typed(alice: Visitor) -> None:
    good = {"label": "kept <label>", "days": "7", "access": "write", "packages": "left-*"}
    for wrong in (
        {"label": " "}, {"days": "8"}, {"days": "x"}, {"scope": ["everything"]},
        {"packages": " ".join("x" * 51)}, {"packages": "x" * 300},
    ):  # fmt: skip
        answer = alice.post("/account/tokens", page="/account", **(good | wrong))
        assert answer.status_code == 400, wrong
        assert 'role="alert"' in answer.text
        assert "plk_" not in answer.text
        if "label" not in wrong:
            assert 'value="kept &lt;label&gt;"' in answer.text


def test_revoking_ends_a_token_at_once_and_only_ones_own(
    registry: RunningRegistry, alice: Visitor
) -> None:
    secret = create_token(alice, label="short lived")
    number = token_id(registry, "short lived")
    bob = Visitor(registry).sign_in("bob")
    refused = bob.post("/account/tokens/revoke", page="/account", token_id=number)
    assert refused.status_code == 404
    assert whoami(registry, secret).status_code == 200
    answer = alice.post("/account/tokens/revoke", page="/account", token_id=number)
    assert answer.status_code == 303
    assert whoami(registry, secret).status_code == 401
    assert "was revoked" in alice.get(answer.headers["location"]).text
    again = alice.post("/account/tokens/revoke", page="/account", token_id=number)
    assert again.status_code == 404
    bob.close()


def test_strangers_are_sent_to_sign_in(visitor: Visitor) -> None:
    assert visitor.get("/account").headers["location"] == "/login"
    for path in ("/account/tokens", "/account/tokens/revoke"):
        assert visitor.post(path, page="/login").headers["location"] == "/login"


def test_a_session_ends_from_another_browser_with_its_password_and_with_its_account(
    registry: RunningRegistry,
) -> None:
    registry.add_user("erin")
    one, other = (Visitor(registry).sign_in("erin") for _ in range(2))
    bob = Visitor(registry).sign_in("bob")
    (number,) = re.findall(r'name="token_id" value="(\w{12})"', _sessions(one))
    refused = bob.post("/account/tokens/revoke", page="/account", token_id=number)
    assert refused.status_code == 404
    one.post("/account/tokens/revoke", page="/account", token_id=number)
    assert is_signed_in(registry, session_of(one))
    assert not is_signed_in(registry, session_of(other))
    registry.cli("user", "password", "erin", "--password-stdin", stdin="password of erin\n")
    assert not is_signed_in(registry, session_of(one))
    third = Visitor(registry).sign_in("erin")
    registry.cli("user", "disable", "erin")
    assert not is_signed_in(registry, session_of(third))
    for visitor in (one, other, third, bob):
        visitor.close()


def _sessions(visitor: Visitor) -> str:
    return visitor.get("/account").text.partition('id="sessions"')[2]


def test_the_setup_code_makes_one_administrator_and_works_once(
    start_registry: StartRegistry,
) -> None:
    registry = start_registry()
    found = re.search(r"\b[a-z0-9]{5}(-[a-z0-9]{5}){3}\b", registry.log.read_text())
    assert found
    visitor = Visitor(registry)
    wrong = visitor.post("/setup", code="a-b-c", name="carol", password="password of carol")
    assert wrong.status_code == 400
    assert "not the setup code" in wrong.text
    short = visitor.post("/setup", code=found[0], name="carol", password="short")
    assert "8 to 1024 characters" in short.text
    assert "letters from a to z, small or capital" in short.text.lower()
    done = visitor.post("/setup", code=found[0], name="Carol", password="password of carol")
    assert (done.status_code, done.headers["location"]) == (303, "/account")
    page = visitor.get("/account").text
    assert "<h1>Carol</h1>" in page
    assert "administrator" in page
    assert "The registry is set up" in visitor.get("/setup").text
    again = visitor.post(
        "/setup", page="/account", code=found[0], name="dave", password="password of dave"
    )
    assert again.status_code == 400
    assert "password of" not in registry.log.read_text()
    visitor.close()
