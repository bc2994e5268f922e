"""docs/DEPLOYMENT.md, run as written: jobs of a CI with a token in their environment, the unit."""

from configparser import ConfigParser
from pathlib import Path

import pytest

from cargo_client import library
from recipes import Block, Desk
from running_registry import PACKLEDGER, RunningRegistry
from sealed_registry import BLOCKS, CLIENTS, Place, runs

pytestmark = pytest.mark.client


def deployment(*names: str) -> pytest.MarkDecorator:
    return runs(*(f"docs/DEPLOYMENT.md: {name}" for name in names))


def job(place: Place, yarn: str = "yarn1") -> Desk:
    """A desk at which the token is in the environment alone."""
    desk = place.desk(yarn)
    desk.env["REGISTRY_TOKEN"], desk.token = desk.token, ""
    return desk


@deployment("ci-npmrc", "ci-pnpm", "ci-yarnrc")
@pytest.mark.parametrize("client", [*CLIENTS, "berry"])
def test_a_job_publishes_and_installs_with_a_token_of_its_environment(
    place: Place, blocks: list[Block], client: str
) -> None:
    npmrc, pnpm, yarnrc = blocks
    berry = client == "berry"
    name = f"@acme/job-{client}"
    for step in ("publish", "use"):
        desk = job(place, "berry" if berry else "yarn1")
        desk.write(yarnrc if berry else npmrc)
        desk.manifest(name if step == "publish" else "app", version=place.version())
        if client == "pnpm":
            desk.run(pnpm.text)
            desk.write(BLOCKS["README.md: pnpm-workspace"])
        block = BLOCKS[f"README.md: {'yarn' if berry else 'npm'}-{step}"]
        script = block.text if berry else block.line(client)
        desk.run(script.replace("@acme/my-package", name))
    assert desk.installed(name)


@deployment("ci-cargo")
def test_a_job_publishes_a_crate_with_a_token_of_its_environment(
    place: Place, blocks: list[Block]
) -> None:
    desk = job(place)
    library(desk.project, "job-crate", place.version())
    desk.run(blocks[0].text)


@deployment("settings", "unit")
def test_the_service_starts_as_its_unit_says(tmp_path: Path, blocks: list[Block]) -> None:
    settings, unit = blocks
    file = tmp_path / "packledger.toml"
    file.write_text(settings.text.replace("/var/lib/packledger", str(tmp_path / "data")))
    said = ConfigParser(interpolation=None, strict=False)
    said.optionxform = str  # type: ignore[assignment,method-assign]
    said.read_string(unit.text)
    assert said["Service"]["StateDirectory"] in "/var/lib/packledger"
    words = said["Service"]["ExecStart"].replace("/etc/packledger.toml", str(file)).split()
    assert words[0] == "/opt/packledger/bin/packledger"
    running = RunningRegistry(tmp_path / "registry", [PACKLEDGER, *words[1:]], public_url="")
    del running.env["PACKLEDGER_PUBLIC_URL"]
    try:
        running.start()
        assert "https://registry.example.com/npm/" in running.log.read_text()
    finally:
        running.close()
