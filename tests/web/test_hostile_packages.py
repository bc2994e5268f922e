"""Whatever a package says about itself, its page stays ours."""

from collections.abc import Callable
from typing import Any

import pytest

from running_registry import RunningRegistry
from visitor import Tree, Visitor

Publish = Callable[..., None]

ATTACK = """<script>alert(1)</script><img src=x onerror=alert(1)>"><svg onload=alert(1)>"""
README = f"""# {ATTACK}

{ATTACK}

[click](javascript:alert(1)) [data](data:text/html,<script>alert(1)</script>)
<a href="JaVaScRiPt:alert(1)">x</a> <a href=" javascript:alert(1)">y</a>
<a href="java&#10;script:alert(1)" onclick="alert(1)" style="color:red" target=_blank>z</a>
![{ATTACK}](javascript:alert(1))

<style>main {{ display: none }}</style>
<form action="/logout" method="post"><button>free gift</button></form>
<iframe src="https://evil.example.com"></iframe><base href="https://evil.example.com/">
<meta http-equiv="refresh" content="0;url=https://evil.example.com">
<div id="content" class="top" style="position:fixed">over everything</div>

```"><script>alert(1)</script>
code
```

</div></section></main><h1>a page of its own</h1>
"""

OUR_FORMS = {"/search"}


def check(text: str) -> None:
    """Nothing on the page but what our templates and the list of allowed tags put there."""
    tree = Tree(text)
    forbidden = ("script", "style", "iframe", "object", "embed", "svg", "base", "textarea")
    assert tree.all(*forbidden) == []
    assert [image["src"] for image in tree.all("img")] == [tree.all("link")[1]["href"]]
    assert {form["action"] for form in tree.all("form")} <= OUR_FORMS
    assert len(tree.all("h1")) == 1
    assert [meta for meta in tree.all("meta") if "http-equiv" in meta] == []
    ids = [attributes["id"] for _, attributes in tree.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "no id of a README meets one of the page"
    for tag, attributes in tree.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert "target" not in attributes
        link = attributes.get("href")
        if tag == "a" and link is not None:
            assert link.startswith(("/", "#", "?", "http://", "https://", "mailto:")), link


def test_a_hostile_crate_page_is_harmless(visitor: Visitor, publish_crate: Publish) -> None:
    text = ATTACK.replace('"', '\\"')
    package = (
        f'description = "{text}"\nlicense = "MIT"\nreadme = "README.md"\n'
        'homepage = "https://x.example.com/\\"onmouseover=alert(1)//<b>"\n'
    )
    publish_crate("hostile", "1.0.0", package=package, readme=README.encode())
    page = visitor.get("/crates/hostile").text
    check(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a page of its own" in page
    check(visitor.get("/").text)
    check(visitor.get("/search?q=hostile").text)


LINKS = {"script": "javascript:alert(1)", "capitals": "JAVASCRIPT:alert(1)", "vb": "vbscript:x",
         "data": "data:text/html,x", "nothing": "//"}  # fmt: skip


@pytest.mark.parametrize("kind", LINKS)
def test_only_web_links_are_links(visitor: Visitor, publish_npm: Publish, kind: str) -> None:
    name, homepage = f"links-{kind}", LINKS[kind]
    fields: dict[str, Any] = {
        "homepage": homepage,
        "repository": {"type": "git", "url": f"git+{homepage}"},
        "bugs": {"url": homepage},
        "license": ATTACK,
        "keywords": [ATTACK],
        "engines": {"node": ATTACK},
        "dependencies": {"../../evil": ATTACK, "x": "javascript:alert(1)"},
    }
    publish_npm(name, "1.0.0", description=ATTACK, readme=README.encode(), **fields)
    page = visitor.get(f"/packages/{name}").text
    check(page)
    assert 'href="javascript' not in page.lower()


def test_a_hostile_deprecation_is_text(
    registry: RunningRegistry, visitor: Visitor, publish_npm: Publish
) -> None:
    publish_npm("hostile-words", "1.0.0")
    document = registry.http.get("/npm/hostile-words").json()
    document["versions"]["1.0.0"]["deprecated"] = ATTACK
    url = "/npm/hostile-words"
    registry.http.put(url, json=document, headers=registry.token()).raise_for_status()
    page = visitor.get("/packages/hostile-words").text
    check(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    "path",
    ["/crates/%3Cscript%3E", "/packages/%22%3E%3Cscript%3E", "/packages/@s/", "/packages//",
     "/packages/@s/n/v/", "/packages/x/v/%3Cb%3E", "/crates/x/%0d%0aset-cookie:a=b", "/%00",
     "/packages/" + "a/" * 500, "/crates/%ff%fe", "/static/%00"],
)  # fmt: skip
def test_hostile_paths_are_not_found(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code in {400, 404}, answer.text
    assert "<script>" not in answer.text
    assert "a" not in answer.cookies
