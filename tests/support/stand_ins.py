"""The images that the compose files and the Dockerfile name, made here: nothing is pulled.

Each is made from Debian's packages and what the other tests run, below tests/servers/containers,
and honours the variables of the image that it stands for. An image that the engine has under that
name and that is not ours is taken as it is.

As a program, it makes them all: `make test` does so before the tests begin.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from docker_engine import ROOT, Engine, engine

FOLDER = ROOT / "tests" / "servers" / "containers"
DEBIAN = ROOT / "build" / "containers" / "debian.tar"
LABEL = "packledger.stand-in"
OURS = ("packledger:latest", "packledger:local")
_DEBIAN_NAME = "packledger-tests/debian"
_MADE_FROM = {
    "postgres": "postgres",
    "apache/kafka": "kafka",
    "versity/versitygw": "s3",
    "nginx": "nginx",
    "python": "python",
}
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")


def names() -> list[str]:
    """Return the images of others that the compose files and the Dockerfile need."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    words = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    found = {one["image"] for one in services if "build" not in one}
    return sorted(found | {line[1] for line in words if line[:1] == ["FROM"]})


def provide(docker: Engine) -> list[str]:
    """Make every image that is missing; return the names under which there is a stand-in."""
    made = [name for name in names() if _label(docker, name) != "somebody else's"]
    if made:
        _provide_debian(docker)
    for name in made:
        _build(docker, name)
    return made


def put_aside(docker: Engine) -> None:
    """Take our own images' names away, so that they are made anew; somebody's own are kept."""
    for name in OURS:
        if docker("images", "--quiet", name).stdout:
            if not docker.private:
                docker("tag", name, _kept(name))
            docker("rmi", "--no-prune", name)
    if docker.private:
        # Of earlier states of the code; younger ones are the next build's cache.
        docker("image", "prune", "--force", "--filter", "until=72h")


def put_back(docker: Engine, made: list[str]) -> None:
    """Leave somebody's engine with the names that it had: nobody is to take a stand-in for real."""
    if docker.private:
        return
    for name in (*OURS, *made):
        if _label(docker, name) == "ours":
            docker("rmi", "--no-prune", name)
    for name in OURS:
        if docker("images", "--quiet", _kept(name)).stdout:
            docker("tag", _kept(name), name)
            docker("rmi", "--no-prune", _kept(name))


def _kept(name: str) -> str:
    return f"packledger-tests/kept:{name.replace(':', '-')}"


def _label(docker: Engine, name: str) -> str:
    """Whose an image is: `ours`, `somebody else's`, or empty if there is none."""
    if not docker("images", "--quiet", name).stdout:
        return ""
    labelled = docker("images", "--quiet", "--filter", f"label={LABEL}", name).stdout
    return "ours" if labelled else "somebody else's"


def _provide_debian(docker: Engine) -> None:
    if not DEBIAN.exists():
        raise FileNotFoundError(f"there is no `{DEBIAN}`; `make test` makes it")
    with DEBIAN.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    label = f"{LABEL}={digest}"
    if not docker("images", "--quiet", "--filter", f"label={label}", _DEBIAN_NAME).stdout:
        docker("import", "--change", f"LABEL {label}", str(DEBIAN), _DEBIAN_NAME)


def _build(docker: Engine, name: str) -> None:
    """Build one, named with its tag; what is there already is not built again."""
    repository, _, tag = name.rpartition(":")
    kind = _MADE_FROM[repository]
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / kind
        shutil.copytree(FOLDER / kind, context)
        _add(kind, context)
        words = ["build", "--quiet", "--network=host", "--build-arg", f"TAG={tag}"]
        docker(*words, *proxies(), "--tag", name, ".", cwd=context, timeout_s=900)


def proxies() -> list[str]:
    """Return the arguments with which a build goes through this machine's proxy, if it has one."""
    found = {
        name for name in os.environ if name.lower() in {"http_proxy", "https_proxy", "no_proxy"}
    }
    return [word for name in sorted(found) for word in ("--build-arg", name)]


def _add(kind: str, context: Path) -> None:
    """Put into a build what is not in the repository."""
    if kind == "kafka":
        shutil.copytree(ROOT / "build" / "kafka", context / "jars")
    if kind == "s3":
        shutil.copy(ROOT / "build" / "s3" / "versitygw", context)
        shutil.copy(_module("github.com/versity/versitygw") / "docker-entrypoint.sh", context)
        (context / "docker-entrypoint.sh").chmod(0o755)
    if kind == "python":
        (context / "pip.conf").write_text(_pip_settings())


def _module(name: str) -> Path:
    """Where Go has the source of a module that tests/servers/s3 pins."""
    go = Path(sys.executable).with_name("go")
    found = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", name],
        cwd=ROOT / "tests" / "servers" / "s3",
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(found.stdout.strip())


def _pip_settings() -> str:
    """Return a pip.conf with which pip in a container asks whom it asks here."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    settings = {"cert": "/etc/ssl/certs/ca-certificates.crt"}
    for line in listed.stdout.splitlines():
        place, _, value = line.partition("=")
        key = place.rpartition(".")[2]
        if key in _PIP_KEYS:  # those of the environment come last, and win
            settings[key] = value.strip("'\"")
    lines = [f"{key} = {value}" for key, value in settings.items()]
    return "\n".join(["[global]", *lines, ""])


if __name__ == "__main__":
    with engine(building=True) as building:
        print("made images that stand for", ", ".join(provide(building)))
