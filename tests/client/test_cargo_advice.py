"""What crates.io refuses and a private registry may take: cargo prints it, but for `*`.

Source: https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish (`warnings`)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cargo_client import Cargo, library, published, put_crate
from running_registry import RunningRegistry
from uploads import crate, crate_body, new_crate

pytestmark = pytest.mark.client
PUBLISH = ("publish", "--registry", "ledger", "--allow-dirty", "--no-verify")
NOTHING: dict[str, list[str]] = {"invalid_categories": [], "invalid_badges": [], "other": []}


def advice(registry: RunningRegistry, name: str, package: str = "", manifest: str = "") -> Any:
    body = crate_body({"name": name, "vers": "1.0.0"}, crate(name, "1.0.0", manifest, package))
    answer = put_crate(registry, body)
    assert answer.status_code == 200, answer.text
    return answer.json()["warnings"]


def own(registry: RunningRegistry, *names: str) -> str:
    lines = (
        f'[dependencies.{name}]\nversion = "1"\nregistry-index = "{registry.index}"\n'
        for name in names
    )
    return "".join(lines)


def test_cargo_prints_what_a_public_registry_would_refuse(
    registry: RunningRegistry, cargo: Cargo, tmp_path: Path
) -> None:
    features = "\n".join(f"f{at} = []" for at in range(301))
    rest = (
        'categories = ["database", "no-such-thing"]\nlicense = "Acme Internal"\n'
        f"[features]\n{features}\n"
    )
    said = cargo(*PUBLISH, cwd=library(tmp_path / "lib", "advised", "1.0.0", rest)).text
    assert "no-such-thing" in said
    assert "`license = 'Acme Internal'` is no SPDX expression" in said
    assert "301 features" in said


@pytest.mark.parametrize(
    "package",
    [
        "",
        'license = "MIT OR Apache-2.0"',
        'license = "MIT/Apache-2.0"',
        'license = "GPL-2.0-or-later WITH Classpath-exception-2.0"',
        'license = "LicenseRef-Acme"',
        'license-file = "LICENSE"',
        'categories = ["no-std::no-alloc", "science::robotics"]',
    ],
)
def test_what_crates_io_takes_needs_no_word(registry: RunningRegistry, package: str) -> None:
    name = f"quiet-{abs(hash(package))}"
    assert advice(registry, name, package) == NOTHING


@pytest.mark.parametrize("text", ["MIT AND", "(" * 150, "x" * 10_000, "MIT OR Nothing", "é"])
def test_a_licence_that_is_none_is_told(registry: RunningRegistry, text: str) -> None:
    name = f"licence-{len(text)}"
    (told,) = advice(registry, name, f'license = "{text}"')["other"]
    assert "is no SPDX expression" in told
    assert len(told) < 300


def test_a_dependency_that_is_not_here_is_told(registry: RunningRegistry) -> None:
    published(registry, "here", "1.0.0")
    published(registry, "hy-phen", "1.0.0")
    names = ("here", "hy_phen", "not-here", "asks")
    told = advice(registry, "asks", "", own(registry, *names) + "[dependencies.serde]\nversion='1'")
    assert [line.split("`")[1] for line in told["other"]] == ["hy_phen", "not-here"]


@pytest.mark.parametrize("kind", ["dependencies", "dev-dependencies", "build-dependencies"])
def test_any_version_is_no_requirement(registry: RunningRegistry, kind: str) -> None:
    body = new_crate("wild", "1.0.0", f"[{kind}]\nserde = '*'")
    answer = put_crate(registry, body)
    assert answer.status_code == 400
    assert "`serde` asks for `*`" in answer.json()["errors"][0]["detail"]
    assert registry.http.get("/cargo/index/wi/ld/wild").status_code == 404


def test_a_setting_allows_any_version(start_registry: Callable[..., RunningRegistry]) -> None:
    registry = start_registry(wildcard_dependencies=True)
    published(registry, "wild", "1.0.0", "[dependencies]\nserde = '*'")
    assert '"req":"*"' in registry.http.get("/cargo/index/wi/ld/wild").text
