"""What a browser does, without one: cookies, forms and their hidden fields."""

import re
from html.parser import HTMLParser
from typing import Any

import httpx

from running_registry import RunningRegistry

PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Tree(HTMLParser):
    """Every start tag of a page, in order, with its attributes; the ids that labels name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


class Visitor:
    """Somebody with a cookie jar; does not follow redirects by itself."""

    def __init__(self, registry: RunningRegistry) -> None:
        self.url = registry.url
        self.http = httpx.Client(base_url=registry.url, headers=PAGE, timeout=60)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def form_token(self, path: str) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.get(path).text)
        assert found, f"no form at {path}"
        return found[1]

    def post(
        self, path: str, page: str = "", headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """Send the form of `page` as a browser does, hidden field and origin included."""
        if "form_token" not in fields:
            fields["form_token"] = self.form_token(page or path)
        return self.http.post(path, data=fields, headers={"origin": self.url, **(headers or {})})

    def sign_in(self, name: str) -> "Visitor":
        answer = self.post("/login", name=name, password=f"password of {name}")
        assert answer.status_code == 303, answer.text
        return self

    def close(self) -> None:
        self.http.close()
