"""Docker Compose takes the compose files: its own loader, from tests/compose_loader, reads them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOADER = ROOT / "build" / "compose_loader" / "compose_loader"
CLUSTER, EMBEDDED = "docker-compose.yml", "docker-compose.embedded.yml"
URL = "https://registry.example.com"

each_file = pytest.mark.parametrize("file", [CLUSTER, EMBEDDED])


def loads(
    file: str, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Load a copy of a file in a folder that may have a `.env`."""
    if not LOADER.exists():
        raise FileNotFoundError(f"there is no `{LOADER}`; `make test` builds it")
    (folder / file).write_bytes((ROOT / file).read_bytes())
    return subprocess.run(
        [LOADER, file],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def make_secrets(folder: Path) -> dict[str, str]:
    command = ["make", "-s", "-f", str(ROOT / "Makefile"), "-C", str(folder), "secrets"]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    return dict(line.split("=") for line in (folder / ".env").read_text().splitlines())


def project(file: str, folder: Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    loaded = loads(file, folder, environment)
    assert loaded.returncode == 0, loaded.stderr
    found: dict[str, Any] = json.loads(loaded.stdout)
    return found


def test_the_cluster_loads_with_the_secrets_that_make_writes(tmp_path: Path) -> None:
    secrets = make_secrets(tmp_path)
    services = project(CLUSTER, tmp_path, {"PACKLEDGER_PUBLIC_URL": URL})["services"]
    assert set(services) == set(yaml.safe_load((ROOT / CLUSTER).read_text())["services"])
    web = services["web"]["environment"]
    assert web["PACKLEDGER_PUBLIC_URL"] == URL
    assert secrets["POSTGRES_PASSWORD"] in web["PACKLEDGER_DATABASE"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] in web["PACKLEDGER_DATABASE"]
    assert web["PACKLEDGER_S3_SECRET_KEY"] == services["s3"]["environment"]["ROOT_SECRET_KEY"]
    assert [name for name, one in services.items() if one["command"] == ["sign"]] == ["sign"]


@each_file
def test_the_public_url_may_stand_in_the_file_of_secrets(file: str, tmp_path: Path) -> None:
    make_secrets(tmp_path)
    with (tmp_path / ".env").open("a") as written:
        written.write(f"PACKLEDGER_PUBLIC_URL={URL}\n")
    for service in project(file, tmp_path)["services"].values():
        assert service.get("environment", {}).get("PACKLEDGER_PUBLIC_URL", URL) == URL


@each_file
def test_without_the_public_url_it_says_what_to_set(file: str, tmp_path: Path) -> None:
    make_secrets(tmp_path)
    refused = loads(file, tmp_path)
    assert refused.returncode == 1
    assert "required variable PACKLEDGER_PUBLIC_URL is missing a value: set it" in refused.stderr


def test_the_cluster_without_secrets_says_how_they_are_made(tmp_path: Path) -> None:
    refused = loads(CLUSTER, tmp_path, {"PACKLEDGER_PUBLIC_URL": URL})
    assert refused.returncode == 1
    assert "is missing a value: run `make secrets` once" in refused.stderr


def test_one_machine_needs_no_secrets(tmp_path: Path) -> None:
    loaded = project(EMBEDDED, tmp_path, {"PACKLEDGER_PUBLIC_URL": URL})
    assert set(loaded["services"]) == {"packledger"}


def keys_twice(node: yaml.Node) -> list[str]:
    """Return each key that stands twice in a mapping: YAML forbids it, PyYAML keeps the last."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        twice = [f"{key} in line {node.start_mark.line + 1}" for key in keys if keys.count(key) > 1]
        return twice + [found for _, value in node.value for found in keys_twice(value)]
    if isinstance(node, yaml.SequenceNode):
        return [found for item in node.value for found in keys_twice(item)]
    return []


def test_no_key_stands_twice_in_any_yaml_of_the_repository() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = [name for name in listing.stdout.decode().split("\0") if name]
    files = [ROOT / name for name in names if name.endswith((".yml", ".yaml"))]
    assert len(files) >= 2
    for path in files:
        for document in yaml.compose_all(path.read_text()):
            assert keys_twice(document) == [], path.name
