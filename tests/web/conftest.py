"""Somebody who looks at the pages, and things to look at."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from running_registry import RunningRegistry
from uploads import new_crate, npm_body, tarball
from visitor import Visitor


@pytest.fixture
def visitor(registry: RunningRegistry) -> Iterator[Visitor]:
    one = Visitor(registry)
    yield one
    one.close()


@pytest.fixture
def publish_crate(registry: RunningRegistry) -> Callable[..., None]:
    """`publish_crate(name, version, package="…", manifest="…", readme=b"…")`, by alice."""

    def publish(name: str, version: str, readme: bytes = b"", **more: Any) -> None:
        files = {"README.md": readme} if readme else {}
        package = more.pop("package", "")
        body = new_crate(name, version, more.pop("manifest", ""), package=package, **files)
        url = "/cargo/api/v1/crates/new"
        answer = registry.http.put(url, content=body, headers=registry.token())
        assert answer.status_code == 200, answer.text

    return publish


@pytest.fixture
def publish_npm(registry: RunningRegistry) -> Callable[..., None]:
    """`publish_npm(name, version, tag="latest", readme=b"…", **package_json)`, by alice."""

    def publish(
        name: str, version: str, tag: str = "latest", readme: bytes = b"", **more: Any
    ) -> None:
        manifest = {"name": name, "version": version, **more}
        packed = tarball(manifest, **({"README.md": readme} if readme else {}))
        url = f"/npm/{name.replace('/', '%2f')}"
        body = npm_body(manifest, packed, tag)
        answer = registry.http.put(url, json=body, headers=registry.token())
        assert answer.status_code in {200, 201}, answer.text

    return publish
