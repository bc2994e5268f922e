"""Pages that anybody may read: start, search, packages, files, errors."""

import re
from collections.abc import Callable

import pytest

from running_registry import RunningRegistry
from visitor import PAGE, Tree, Visitor

Publish = Callable[..., None]


def test_an_empty_registry_says_how_to_begin(visitor: Visitor) -> None:
    page = visitor.get("/")
    assert page.status_code == 200
    assert "Nothing has been published yet." in page.text
    assert f"index = &#34;sparse+{visitor.url}/cargo/index/&#34;" in page.text
    assert f"registry={visitor.url}/npm/" in page.text


def test_a_registry_without_an_administrator_says_so(visitor: Visitor) -> None:
    assert 'href="/setup"' in visitor.get("/").text


def test_the_start_counts_and_lists_each_package_once_newest_first(
    visitor: Visitor, publish_crate: Publish, publish_npm: Publish
) -> None:
    publish_crate("counted", "1.0.0")
    publish_crate("counted", "1.1.0")
    publish_npm("@s/counted", "1.0.0", description="the newest")
    text = visitor.get("/").text
    names = re.findall(r'class="hit-name" href="([^"]+)"', text)
    assert names == ["/packages/@s/counted", "/crates/counted"]
    assert re.search(r"Crate</a></dt>\s*<dd>1 <small>2 versions", text)
    assert re.search(r"Package</a></dt>\s*<dd>1 <small>1 version<", text)
    assert "the newest" in text


def test_unpublished_versions_are_neither_counted_nor_listed(
    registry: RunningRegistry, visitor: Visitor, publish_npm: Publish
) -> None:
    def totals() -> list[str]:
        return re.findall(r"<dd>(\d+) <small>(\d+) version", visitor.get("/").text)

    before = totals()
    publish_npm("gone", "1.0.0")
    assert totals() != before
    revision = registry.http.get("/npm/gone").json()["_rev"]
    registry.http.delete(f"/npm/gone/-rev/{revision}", headers=registry.token())
    assert totals() == before
    assert "/packages/gone" not in visitor.get("/").text
    assert visitor.get("/packages/gone").status_code == 404


def test_a_crate_page_shows_what_its_manifest_says(
    visitor: Visitor, publish_crate: Publish
) -> None:
    publish_crate("shown-dep", "1.0.0")
    about = (
        'description = "does <things>"\nlicense = "MIT"\nkeywords = ["alpha"]\n'
        'repository = "https://git.example.com/x.git"\nrust-version = "1.70"\nreadme = "README.md"'
    )
    deps = (
        f'[dependencies]\nshown-dep = {{ version = "1", registry-index = '
        f'"sparse+{visitor.url}/cargo/index/" }}\n'
        'serde = { version = "1", optional = true }\n[dev-dependencies]\nshown = "2"\n'
    )
    publish_crate("Shown", "0.9.0", package=about)
    publish_crate("Shown", "1.0.0", package=about, manifest=deps, readme=b"# Hello\n\n*there*")
    text = visitor.get("/crates/shown").text  # any case of the name
    assert "<h1>Shown <span" in text
    assert "does &lt;things&gt;" in text
    assert '<a href="/crates/shown-dep">shown-dep</a>' in text
    assert "<span>serde</span>" in text, "a dependency from elsewhere is no link"
    assert "optional" in text
    assert "Dev dependencies" in text
    assert '<h3 id="readme-hello">Hello</h3>' in text
    assert "<em>there</em>" in text
    assert 'href="https://git.example.com/x"' in text
    assert "cargo add Shown --registry packledger" in text
    assert "Shown = { version = &#34;1.0.0&#34;, registry = &#34;packledger&#34; }" in text
    assert "1.70 or newer" in text
    assert 'href="/search?q=alpha&amp;ecosystem=cargo"' in text
    assert "cargo add Shown@0.9.0 --registry packledger" in visitor.get("/crates/Shown/0.9.0").text


def test_a_crate_stands_for_its_highest_version_that_is_not_yanked(
    registry: RunningRegistry, visitor: Visitor, publish_crate: Publish
) -> None:
    for version in ("1.0.0", "2.0.0", "3.0.0-rc.1", "1.0.1"):
        publish_crate("standing", version)
    assert "<title>standing 2.0.0" in visitor.get("/crates/standing").text
    registry.http.delete(
        "/cargo/api/v1/crates/standing/2.0.0/yank", headers=registry.token()
    ).raise_for_status()
    text = visitor.get("/crates/standing").text
    assert "<title>standing 1.0.1" in text
    assert text.count(">yanked<") == 1
    yanked = visitor.get("/crates/standing/2.0.0").text
    assert "This version was yanked." in yanked
    assert 'The current one is <a href="/crates/standing">1.0.1</a>' in yanked


def test_an_npm_page_shows_tags_deprecations_and_dependencies(
    registry: RunningRegistry, visitor: Visitor, publish_npm: Publish
) -> None:
    publish_npm("tagged-dep", "1.0.0")
    publish_npm("@s/tagged", "1.0.0")
    publish_npm(
        "@s/tagged",
        "1.1.0",
        readme=b"text\n\n| a |\n|:-:|\n| b |",
        dependencies={"tagged-dep": "^1", "elsewhere": "2"},
        peerDependencies={"react": ">=18"},
        license={"type": "ISC"},
    )
    publish_npm("@s/tagged", "2.0.0-beta.1", tag="next")
    document = registry.http.get("/npm/@s%2ftagged").json()
    document["versions"]["1.0.0"]["deprecated"] = "too <old>"
    registry.http.put(
        "/npm/@s%2ftagged", json=document, headers=registry.token()
    ).raise_for_status()
    text = visitor.get("/packages/@s/tagged").text
    assert "<title>@s/tagged 1.1.0" in text
    assert '<a href="/packages/tagged-dep">tagged-dep</a>' in text
    assert "<span>elsewhere</span>" in text
    assert "Peer dependencies" in text
    assert "<dd>ISC</dd>" in text
    assert '<td align="center">b</td>' in text
    assert "too &lt;old&gt;" in text
    for snippet in ("npm install", "pnpm add", "yarn add", "bun add"):
        assert f"{snippet} @s/tagged</code>" in text
    assert '<a href="/packages/@s/tagged/v/2.0.0-beta.1">2.0.0-beta.1</a>' in text
    assert visitor.get("/packages/@s%2ftagged").status_code == 200
    old = visitor.get("/packages/@s/tagged/v/1.0.0").text
    assert "This version is deprecated:</strong> too &lt;old&gt;" in old
    assert "npm install @s/tagged@1.0.0" in old
    assert "<title>@s/tagged 2.0.0-beta.1" in visitor.get("/packages/@s/tagged/v/next").text


def test_a_package_with_many_versions_shows_some_and_all_on_demand(
    visitor: Visitor, publish_npm: Publish
) -> None:
    for patch in range(35):
        publish_npm("many", f"1.0.{patch}")
    page = visitor.get("/packages/many").text
    assert page.count('<th scope="row">') == 30
    assert "Show all 35" in page
    assert visitor.get("/packages/many?versions=all").text.count('<th scope="row">') == 35


def test_search_shows_both_ecosystems_and_pages_of_one(
    visitor: Visitor, publish_crate: Publish, publish_npm: Publish
) -> None:
    publish_crate("findable-a", "1.0.0")
    for number in range(23):
        publish_npm(f"findable-{number:02}", "1.0.0")
    both = visitor.get("/search?q=findable").text
    assert "24 results for <q>findable</q>" in both
    assert "/crates/findable-a" in both
    assert "All 23 npm packages" in both
    first = visitor.get("/search?q=findable&ecosystem=npm").text
    second = visitor.get("/search?q=findable&ecosystem=npm&page=2").text
    names = [re.findall(r'class="hit-name" href="([^"]+)"', text) for text in (first, second)]
    assert [len(page) for page in names] == [20, 3]
    assert len({*names[0], *names[1]}) == 23
    assert 'rel="next"' in first
    assert 'rel="next"' not in second
    assert "There is no page 9." in visitor.get("/search?q=findable&ecosystem=npm&page=9").text


@pytest.mark.parametrize(
    "query",
    ["", "?q=", "?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "?q=%", "?q=%ff%00", "?page=-1",
     "?page=x&ecosystem=npm", "?ecosystem=<b>", "?q=" + "a" * 3000, "?q=AND+NOT+*+%22"],
)  # fmt: skip
def test_search_answers_whatever_is_asked(visitor: Visitor, query: str) -> None:
    page = visitor.get(f"/search{query}")
    assert page.status_code == 200, page.text
    assert "<script" not in page.text
    assert "<b>" not in page.text


PATHS = ["/", "/search?q=x", "/login", "/setup", "/cargo/me", "/nothing"]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_carries_the_strict_headers(visitor: Visitor, path: str) -> None:
    page = visitor.get(path)
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert "script-src" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "public" not in page.headers["cache-control"]


@pytest.mark.parametrize("path", PATHS)
def test_no_page_has_a_script_or_an_inline_style(visitor: Visitor, path: str) -> None:
    tree = Tree(visitor.get(path).text)
    assert tree.all("script", "style", "iframe", "object") == []
    for _, attributes in tree.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_like_get_without_a_body(visitor: Visitor, path: str) -> None:
    page, head = visitor.get(path), visitor.http.head(path)
    assert head.status_code == page.status_code
    assert head.content == b""
    assert head.headers["content-type"] == page.headers["content-type"]


def test_the_files_of_a_page_are_kept_for_ever_and_compressed(visitor: Visitor) -> None:
    tree = Tree(visitor.get("/").text)
    paths = [str(link["href"]) for link in tree.all("link")]
    assert any(path.endswith(".css") for path in paths)
    style = ""
    for path in paths:
        file = visitor.get(path)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        style = file.text if path.endswith(".css") else style
        assert visitor.get(path, **{"accept-encoding": "identity"}).content == file.content
    font = re.search(r'url\("(/static/inter-[0-9a-f]{16}\.woff2)"\)', style)
    assert font
    assert visitor.get(font[1]).headers["content-type"] == "font/woff2"
    assert visitor.get("/static/..%2fsite.py").status_code == 400
    assert visitor.get("/static/style.css").status_code == 404


def test_unknown_paths_are_pages_for_browsers_and_json_for_clients(
    registry: RunningRegistry, visitor: Visitor
) -> None:
    page = visitor.get("/no/such/<page>")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "/no/such/&lt;page&gt;" in page.text
    assert registry.http.get("/no/such").json() == {
        "error": "this registry has nothing at `/no/such`"
    }
    for path in ("/cargo/nothing", "/npm/nothing", "/npm/-/nothing", "/cargo/index/no/th/nothing"):
        answer = visitor.get(path)
        assert answer.headers["content-type"] == "application/json", path
    assert visitor.http.post("/search").status_code == 405
    assert visitor.get("/crates/none").status_code == 404
    assert "<code>none</code> does not exist" in visitor.get("/crates/none").text


def test_a_private_registry_shows_strangers_nothing_but_the_way_in(
    start_registry: Callable[..., RunningRegistry],
) -> None:
    registry = start_registry(private=True)
    stranger = Visitor(registry)
    for path in ("/", "/search?q=x", "/crates/x", "/packages/@s/x"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path
    assert stranger.get("/login").status_code == 200
    assert stranger.get("/cargo/me").status_code == 200
    stranger.sign_in("alice")
    assert stranger.get("/").status_code == 200
    assert stranger.get("/crates/x").status_code == 404
    stranger.close()


def test_pages_work_below_a_path(start_registry: Callable[..., RunningRegistry]) -> None:
    registry = start_registry(public_url="https://registry.example.com/packages")
    page = registry.http.get("/login", headers=PAGE)
    links = [str(link["href"]) for link in Tree(page.text).all("a", "link") if "href" in link]
    assert all(link.startswith(("/packages/", "#")) for link in links), links
    cookie = page.headers["set-cookie"]
    assert "Path=/packages" in cookie
    assert "Secure" in cookie
