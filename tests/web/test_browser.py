"""The pages in a real Chromium with JavaScript switched off: a whole visit, and what all need.

Source of the checks: https://www.w3.org/TR/WCAG22/
"""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from browser import ENTER, TAB, Browser
from running_registry import RunningRegistry
from uploads import npm_body

Publish = Callable[..., None]
PHONE, DESKTOP = (360, 740), (1280, 900)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one


def sign_in(browser: Browser, url: str, name: str) -> None:
    browser.go(f"{url}/login")
    browser.labelled("Account name").type(name)
    browser.labelled("Password").type(f"password of {name}")
    browser.labelled("Sign in").follow()
    assert browser.url.endswith("/account")


def check_usable(browser: Browser) -> None:
    """What every page owes to keyboards, screen readers and narrow screens."""
    assert browser.script("return document.documentElement.lang") == "en"
    assert len(browser.all("h1")) == 1
    assert len(browser.all("main")) == 1
    assert browser.all("header")
    assert browser.all("footer")
    assert browser.title.endswith(" · packledger")
    for control in browser.all("input:not([type=hidden]), select, button, main a, nav a"):
        assert control.name.strip(), f"a control without a name at {browser.url}"
    levels = browser.script(
        "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])"
    )
    assert levels[0] in {1, 2}
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = browser.script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    named = browser.script(
        "return [...document.querySelectorAll('[aria-labelledby],[aria-describedby]')]"
        ".flatMap(e => ['aria-labelledby', 'aria-describedby'].map(a => e.getAttribute(a)))"
    )
    assert {one for one in named if one} <= set(ids)
    for width, height in (PHONE, DESKTOP):
        browser.resize(width, height)
        wide = browser.script("return document.documentElement.scrollWidth")
        assert wide <= width, f"{browser.url} is {wide} px wide on a screen of {width}"
        narrow = browser.script(
            "return [...document.querySelectorAll('main h1, main section > h2, main .empty')]"
            ".filter(e => e.getBoundingClientRect().width < 160).map(e => e.innerText)"
        )
        assert narrow == [], f"squeezed at {browser.url} on a screen of {width}"


def test_from_setup_to_a_revoked_token(
    start_registry: Callable[..., RunningRegistry], browser: Browser
) -> None:
    registry = start_registry()
    code = re.search(r"\b[a-z0-9]{5}(-[a-z0-9]{5}){3}\b", registry.log.read_text())
    assert code
    browser.go(registry.url)
    browser.link("Set up the registry").follow()
    browser.labelled("Setup code").type(code[0])
    browser.labelled("Account name").type("carol")
    browser.labelled("Password").type("password of carol")
    check_usable(browser)
    browser.labelled("Create the administrator").follow()
    assert browser.url.endswith("/account")
    check_usable(browser)
    browser.labelled("Sign out").follow()
    browser.link("Sign in").follow()
    sign_in(browser, registry.url, "carol")

    browser.labelled("Name").type("release job")
    browser.labelled("publish new crates and packages").click()
    browser.labelled("Limit to packages").type("npm:browsed-*")
    browser.labelled("Create the token").follow()
    secret = browser.one(".secret").text
    assert re.fullmatch(r"plk_[A-Za-z0-9]{40}", secret)
    check_usable(browser)

    assert publish_with(registry, secret, "browsed-thing").status_code in {200, 201}
    assert publish_with(registry, secret, "other-thing").status_code == 403

    browser.go(f"{registry.url}/")
    with browser.leaving():
        browser.labelled("Search crates and packages").type(f"browsed{ENTER}")
    browser.link("browsed-thing").follow()
    assert browser.one("h1").text == "browsed-thing 1.0.0"
    check_usable(browser)

    browser.link("carol").follow()
    revoke = next(one for one in browser.all("button") if one.text == "Revoke")
    revoke.follow()
    assert "was revoked" in browser.one("[role=status]").text
    assert publish_with(registry, secret, "browsed-more").status_code == 401


def publish_with(registry: RunningRegistry, token: str, name: str) -> httpx.Response:
    body = npm_body({"name": name, "version": "1.0.0"})
    headers = {"authorization": f"Bearer {token}"}
    return registry.http.put(f"/npm/{name}", json=body, headers=headers)


def test_every_page_is_usable_and_its_style_is_applied(
    registry: RunningRegistry, browser: Browser, publish_crate: Publish, publish_npm: Publish
) -> None:
    long = "a-very-long-name-" * 3
    readme = b"# One\n\n## Two\n\n```\n" + b"wide " * 60 + b"\n```\n\n|" + b"cell|" * 30
    readme += b"\n|" + b"-|" * 30 + b"\n\n" + b"x" * 300
    publish_crate(f"{long}crate", "1.0.0-alpha.with.a.very.long.prerelease.part", readme=readme)
    publish_npm(
        f"@{long}scope/{long}package", "1.0.0", readme=readme, description="word " * 80,
        keywords=["k" * 120], homepage="https://example.com/" + "path" * 50,
        dependencies={f"@{long}scope/{long}package": ">=1.0.0 <2.0.0 || " * 10 + "*"},
    )  # fmt: skip
    paths = (
        "/", "/search?q=long", "/search?q=nothing-like-it", "/search?q=" + "w" * 200,
        f"/crates/{long}crate", f"/packages/@{long}scope/{long}package", "/login", "/setup",
        "/cargo/me", "/no/such/page/" + "x" * 200,
    )  # fmt: skip
    for path in paths:
        browser.go(registry.url + path)
        check_usable(browser)
        font = browser.script("return getComputedStyle(document.body).fontFamily")
        assert font.startswith("Inter")
    assert browser.script("return document.fonts.check('16px Inter')")


def test_the_keyboard_reaches_the_content_first_and_everything_visibly(
    registry: RunningRegistry, browser: Browser
) -> None:
    browser.go(f"{registry.url}/login")
    browser.press(TAB)
    skip = browser.focused()
    assert skip.text == "Skip to the content"
    top = browser.script("return document.activeElement.getBoundingClientRect().top")
    assert top >= 0, "the link is visible while it has the focus"
    browser.press(ENTER)
    browser.until(lambda: browser.url.endswith("#content") or None, "the content")
    names = []
    for _ in range(3):
        browser.press(TAB)
        names.append(browser.focused().name)
        outline = browser.script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", names[-1]
    assert names == ["Set it up", "Account name", "Password"]


STYLE = (Path(__file__).parents[2] / "api/web/static/style.css").read_text()
SURFACES = ("paper", "sheet", "sunk")
# What is written in which colour, on which surfaces.
WRITTEN = {
    "ink": SURFACES, "soft": SURFACES, "accent": ("paper", "sheet", "accent-soft"),
    "accent-ink": ("accent",), "crate": ("crate-soft",), "npm": ("npm-soft",),
    "bad": ("bad-soft", "paper", "sheet", "sunk"), "warn": ("warn-soft",), "good": ("good-soft",),
}  # fmt: skip


def luminance(colour: str) -> float:
    """Source: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_it_stands_on(scheme: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light if scheme == "light" else dark))
    for text, surfaces in WRITTEN.items():
        for surface in surfaces:
            lighter, darker = sorted(
                (luminance(colours[text]), luminance(colours[surface])), reverse=True
            )
            ratio = (lighter + 0.05) / (darker + 0.05)
            assert ratio >= 4.5, f"{text} on {surface}: {ratio:.2f}"
    for surface in ("paper", "sheet"):
        lighter, darker = sorted(
            (luminance(colours["edge"]), luminance(colours[surface])), reverse=True
        )
        assert (lighter + 0.05) / (darker + 0.05) >= 3, "the edge of a field"
