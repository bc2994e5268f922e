"""docker-compose.yml and Dockerfile say only what the command line and the settings know."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from packledger.cli.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = sorted(COMPOSE["services"].items())
PORT = "8765"

each_service = pytest.mark.parametrize(
    "service", [service for _, service in SERVICES], ids=[name for name, _ in SERVICES]
)


def variables() -> set[str]:
    return {f"PACKLEDGER_{field.name.upper()}" for field in msgspec.structs.fields(Settings)}


@each_service
def test_every_command_and_option_exists(service: dict[str, Any]) -> None:
    command, *arguments = service["command"]
    packledger = Path(sys.executable).with_name("packledger")
    shown = subprocess.run(
        [packledger, command, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    known = set(re.findall(r"--[a-z][a-z-]*", shown.stdout))
    assert {argument for argument in arguments if argument.startswith("-")} <= known


@each_service
def test_every_variable_is_a_setting(service: dict[str, Any]) -> None:
    used = set(service["environment"]) | set(re.findall(r"PACKLEDGER_[A-Z_]+", DOCKERFILE))
    assert used <= variables()
    assert set(re.findall(r"\$\{([A-Z_]+)", str(service))) <= variables()


@each_service
def test_the_port_published_checked_and_listened_on_is_one(service: dict[str, Any]) -> None:
    listeners = [item for item in service["command"] if item.startswith("http://")]
    assert listeners == [f"http://0.0.0.0:{PORT}"]
    assert [port.rpartition(":")[2] for port in service["ports"]] == [PORT]
    for health in (" ".join(service["healthcheck"]["test"]), DOCKERFILE):
        assert f"http://127.0.0.1:{PORT}/health" in health
    assert f"EXPOSE {PORT}" in DOCKERFILE


@each_service
def test_the_data_directory_is_a_named_volume(service: dict[str, Any]) -> None:
    data = service["command"][service["command"].index("--data") + 1]
    mounts = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"])
    assert mounts[data] in COMPOSE["volumes"]
    assert f"PACKLEDGER_DATA={data}" in DOCKERFILE


@each_service
def test_a_crash_restarts_and_no_secret_has_a_default(service: dict[str, Any]) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["environment"]["PACKLEDGER_PUBLIC_URL"].startswith("${PACKLEDGER_PUBLIC_URL:?")
    assert not re.search(r"(?i)password|secret|token", str(service))


def test_the_image_runs_as_an_unprivileged_user() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert re.search(r"(?m)^USER packledger$", stages[-1])
    assert re.search(r"(?m)^STOPSIGNAL SIGTERM$", stages[-1])


def test_the_image_gets_every_installed_folder() -> None:
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    pyproject = (ROOT / "pyproject.toml").read_text()
    assert set(re.findall(r'"packledger\.([a-z]+)"', pyproject)) <= allowed
