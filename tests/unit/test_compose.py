"""The compose files and the Dockerfile say only what the code, its settings and its tests know."""

import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kafka_broker import Broker
from packledger.server.settings.keys import schema_of
from packledger.server.settings.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PACKLEDGER = Path(sys.executable).with_name("packledger")
PORT = "8765"
FILES = {
    name: yaml.safe_load((ROOT / name).read_text())
    for name in ("docker-compose.yml", "docker-compose.embedded.yml")
}
CLUSTER: dict[str, Any] = FILES["docker-compose.yml"]
SERVICES: dict[str, dict[str, Any]] = CLUSTER["services"]
ALL = [(file, name) for file, content in FILES.items() for name in content["services"]]
OURS = [
    (file, name)
    for file, name in ALL
    if FILES[file]["services"][name]["image"] == "packledger:local"
]
# What the native tests run and set.
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").glob("*/*.py"))

each_service = pytest.mark.parametrize(("file", "name"), ALL)
each_of_ours = pytest.mark.parametrize(("file", "name"), OURS)


def service_of(file: str, name: str) -> dict[str, Any]:
    service: dict[str, Any] = FILES[file]["services"][name]
    return service


def settings_keys() -> set[str]:
    return set(schema_of(Settings).variables)


def secrets_made() -> list[str]:
    """The names of what `make secrets` writes."""
    made = re.search(r"for name in ([A-Z0-9_ ]+); do", (ROOT / "Makefile").read_text())
    assert made
    return made[1].split()


@each_of_ours
def test_every_command_and_option_exists_and_is_tested(file: str, name: str) -> None:
    command, *arguments = service_of(file, name)["command"]
    shown = subprocess.run(
        [PACKLEDGER, command, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    known = set(re.findall(r"--[a-z][a-z-]*", shown.stdout))
    assert {argument for argument in arguments if argument.startswith("-")} <= known
    assert f'"{command}"' in TESTS


@each_of_ours
def test_every_variable_is_a_setting_that_is_tested(file: str, name: str) -> None:
    used = set(service_of(file, name)["environment"])
    used |= set(re.findall(r"PACKLEDGER_[A-Z_]+", DOCKERFILE))
    assert used <= settings_keys()
    for key in used:
        name = key.removeprefix("PACKLEDGER_").lower()
        assert re.search(rf'[\s(]{name}=|"{name}"|{key}', TESTS), f"no test sets `{name}`"


@each_service
def test_a_variable_of_the_machine_is_a_setting_or_a_secret(file: str, name: str) -> None:
    """A secret has no default, and neither has the public URL: compose refuses without them."""
    for variable, rest in re.findall(r"\$\{([A-Z0-9_]+)([^}]*)\}", str(service_of(file, name))):
        if variable in secrets_made():
            assert rest == ":?run `make secrets` once", variable
        else:
            assert variable in settings_keys()
            assert rest.startswith(":?" if variable == "PACKLEDGER_PUBLIC_URL" else ":-")


@each_service
def test_no_secret_is_written_down(file: str, name: str) -> None:
    for key, value in service_of(file, name).get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|ACCESS_KEY", key):
            assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]+\}", str(value)), key
        if "://" in str(value) and "@" in str(value):
            assert re.search(r"//[a-z]+:\$\{[A-Z_]+:\?[^}]+\}@", value), key


def test_secrets_are_made_once_readable_by_their_owner(tmp_path: Path) -> None:
    def make() -> subprocess.CompletedProcess[str]:
        command = ["make", "-s", "-f", str(ROOT / "Makefile"), "-C", str(tmp_path), "secrets"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert make().returncode == 0
    written = tmp_path / ".env"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    lines = dict(line.split("=") for line in written.read_text().splitlines())
    assert list(lines) == secrets_made()
    assert len(set(lines.values())) == len(lines)
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in lines.values())
    refused = make()
    assert refused.returncode != 0
    assert "there is a .env already" in refused.stderr
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


@each_service
def test_what_dies_is_started_again_and_checked(file: str, name: str) -> None:
    service = service_of(file, name)
    assert service["restart"] == ("on-failure" if name == "migrate" else "unless-stopped")
    # The image's own check asks for a page; who serves none says so.
    check = service["healthcheck"]
    assert check == {"disable": True} or check["test"][0] == "CMD"
    for other, wanted in service.get("depends_on", {}).items():
        assert other in FILES[file]["services"]
        ends = wanted["condition"] == "service_completed_successfully"
        assert ends is (other == "migrate")
        if not ends:
            assert "test" in service_of(file, other)["healthcheck"]


def test_the_ports_that_are_named_are_those_that_are_listened_on() -> None:
    web = SERVICES["web"]
    assert web["environment"]["PACKLEDGER_LISTEN"] == f"http://0.0.0.0:{PORT}"
    nginx = SERVICES["nginx"]
    assert nginx["environment"]["PACKLEDGER_NGINX_APP"] == f"web:{PORT}"
    listens = nginx["environment"]["PACKLEDGER_NGINX_LISTEN"]
    assert [port.split(":") for port in nginx["ports"]] == [["127.0.0.1", "8080", listens]]
    assert nginx["healthcheck"]["test"][-1] == f"http://127.0.0.1:{listens}/health"
    settings = web["environment"]
    kafka = SERVICES["kafka"]["environment"]
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{settings['PACKLEDGER_KAFKA']}"
    assert SERVICES["kafka"]["healthcheck"]["test"][-1] == "9092"
    assert kafka["KAFKA_LISTENERS"] == "PLAINTEXT://:9092,CONTROLLER://:9093"
    s3_port = SERVICES["s3"]["command"][SERVICES["s3"]["command"].index("--port") + 1]
    assert settings["PACKLEDGER_S3_ENDPOINT"] == f"http://s3{s3_port}"
    assert SERVICES["s3"]["healthcheck"]["test"][-1] == s3_port.removeprefix(":")
    assert "@postgres:5432/packledger" in settings["PACKLEDGER_DATABASE"]
    assert "--port=5432" in SERVICES["postgres"]["healthcheck"]["test"]
    for health in (" ".join(web["healthcheck"]["test"]), DOCKERFILE):
        assert f"http://127.0.0.1:{PORT}/health" in health
    assert f"EXPOSE {PORT}" in DOCKERFILE
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"nginx"}, "nothing else is reached from outside"


def test_the_embedded_port_is_published_on_loopback() -> None:
    service = FILES["docker-compose.embedded.yml"]["services"]["packledger"]
    assert f"http://0.0.0.0:{PORT}" in service["command"]
    assert service["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    assert f"http://127.0.0.1:{PORT}/health" in " ".join(service["healthcheck"]["test"])


@each_service
def test_every_volume_is_named_or_a_file_of_the_repository(file: str, name: str) -> None:
    for volume in service_of(file, name).get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        else:
            assert source in FILES[file]["volumes"], source


def mounts(name: str) -> dict[str, str]:
    return {one.split(":")[1]: one.split(":")[0] for one in SERVICES[name]["volumes"]}


def test_a_node_is_one_data_directory_with_web_and_project() -> None:
    assert mounts("web") == mounts("project") == {"/data": "node", "/static": "static"}
    assert mounts("sign") == {"/data": "node"}, "it reads the tiles that `project` writes"
    assert "PACKLEDGER_DATA=/data" in DOCKERFILE
    embedded = FILES["docker-compose.embedded.yml"]["services"]["packledger"]
    assert embedded["volumes"] == ["packledger-data:/data"]
    for folder in ("/data", "/static"):
        assert re.search(rf"install -d -o packledger (-g 101 )?-m \d+ {folder}\b", DOCKERFILE)


def test_nginx_serves_the_tree_that_is_projected() -> None:
    nginx = SERVICES["nginx"]
    tree = SERVICES["project"]["environment"]["PACKLEDGER_STATIC_TREE"]
    assert nginx["environment"]["PACKLEDGER_NGINX_TREE"] == tree
    assert mounts("nginx")[tree] == "static"
    template = (ROOT / "deploy" / "nginx" / "packledger.conf.template").read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)\}", template))
    assert used == set(nginx["environment"])
    address = nginx["networks"]["default"]["ipv4_address"]
    assert SERVICES["web"]["environment"]["PACKLEDGER_PROXIES"] == address
    (network,) = CLUSTER["networks"]["default"]["ipam"]["config"]
    assert address.startswith(network["subnet"].removesuffix("0/24"))


def test_kafka_is_the_release_that_is_tested_and_told_the_same(tmp_path: Path) -> None:
    pom = (ROOT / "tests" / "servers" / "kafka" / "pom.xml").read_text()
    version = re.search(r"<kafka.version>(.+?)</", pom)
    assert version
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"
    tested = {key: str(value) for key, value in Broker(tmp_path).properties()}
    addresses = {"controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs"}
    for key, value in SERVICES["kafka"]["environment"].items():
        name = key.removeprefix("KAFKA_").replace("_", ".").lower()
        assert name in tested, name
        if name not in addresses:
            assert str(value) == tested[name], name
    assert mounts("kafka") == {SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"]: "kafka"}


def test_the_s3_server_is_the_release_that_is_tested_and_told_the_same() -> None:
    modules = (ROOT / "tests" / "servers" / "s3" / "go.mod").read_text()
    version = re.search(r"github.com/versity/versitygw (v\S+)", modules)
    assert version
    service = SERVICES["s3"]
    assert service["image"] == f"versity/versitygw:{version[1]}"
    source = (ROOT / "tests" / "support" / "s3_server.py").read_text()
    for word in (*service["command"], *service["environment"]):
        if word.startswith("--") or word.isupper() or word == "posix":
            assert f'"{word}"' in source, word
    assert mounts("s3") == {service["command"][-1]: "objects"}
    region = service["command"][service["command"].index("--region") + 1]
    assert SERVICES["web"]["environment"]["PACKLEDGER_S3_REGION"] == region


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
