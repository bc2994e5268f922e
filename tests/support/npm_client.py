"""Unmodified npm and pnpm, pinned by tests/client/package-lock.json, each with its own home."""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from processes import Finished, run
from running_registry import RunningRegistry
from uploads import npm_body

MODULES = Path(__file__).parents[1] / "client" / "node_modules"
# The umbrella package would only copy this binary; naming it keeps the lock file whole on mirrors
# that lack other platforms.
PNPM = (
    MODULES
    / "@pnpm"
    / f"exe.linux-{'arm64' if platform.machine() == 'aarch64' else 'x64'}"
    / "pnpm"
)
COMMANDS = {"npm": [str(MODULES / ".bin" / "npm")], "pnpm": [str(PNPM)]}


class NpmClient:
    """npm or pnpm (`command`) as one user, with a cold cache and no setting of this machine."""

    def __init__(self, command: str, home: Path, registry: RunningRegistry, user: str = "") -> None:
        self.command = command
        self.home = home
        self.registry = registry
        home.mkdir(parents=True)
        lines = [f"registry={registry.npm}", f"cache={home / 'cache'}", "update-notifier=false"]
        if user:
            host = registry.npm.removeprefix("http:")
            lines.append(f"{host}:_authToken={registry.tokens[user]}")
        self.npmrc = home / ".npmrc"
        self.npmrc.write_text("\n".join(lines) + "\n")
        foreign = ("npm_", "pnpm_", "xdg_", "node_")
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.lower().startswith(foreign)},
            # The Node of the lock file, not one of this machine's.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "npm_config_userconfig": str(self.npmrc),
            "npm_config_globalconfig": str(home / "no-global-npmrc"),
            "XDG_CACHE_HOME": str(home / "xdg-cache"),
            "XDG_CONFIG_HOME": str(home / "xdg-config"),
            "XDG_DATA_HOME": str(home / "xdg-data"),
            "XDG_STATE_HOME": str(home / "xdg-state"),
            "PNPM_HOME": str(home / "pnpm-home"),
            "CI": "true",
        }

    def __call__(
        self, *arguments: str, cwd: Path | None = None, fails: bool = False, stdin: str = ""
    ) -> Finished:
        return run(
            [*COMMANDS[self.command], *arguments],
            cwd=cwd or self.home,
            env=self.env,
            fails=fails,
            stdin=stdin,
        )


def npm_project(folder: Path, manifest: dict[str, Any]) -> Path:
    """A folder with this package.json, an index.js, and pnpm told that fresh versions are fine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps(manifest, indent=2))
    (folder / "index.js").write_text("exports.it = 1\n")
    (folder / "pnpm-workspace.yaml").write_text("minimumReleaseAge: 0\n")
    return folder


def put_package(
    registry: RunningRegistry, body: dict[str, Any], user: str = "alice"
) -> httpx.Response:
    """A raw publish."""
    url = f"/npm/{quote(body['name'], safe='@')}"
    return registry.http.put(url, json=body, headers=registry.token(user))


def published(
    registry: RunningRegistry, name: str, version: str, tag: str = "latest", **manifest: Any
) -> None:
    """Publish a small package by hand."""
    body = npm_body({"name": name, "version": version, **manifest}, tag=tag)
    answer = put_package(registry, body)
    assert answer.status_code in {200, 201}, answer.text


def packument(registry: RunningRegistry, name: str, accept: str = "application/json") -> Any:
    answer = registry.http.get(f"/npm/{quote(name, safe='@')}", headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    return answer.json()
