"""Unmodified npm, pnpm, yarn 1, yarn berry and bun, each with a home and a cold cache of its own.

tests/client/package-lock.json pins them; their quirks are in `npm_verbs`.
"""

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
NODE = str(Path(sys.executable).with_name("node"))
# Both yarns want to be `.bin/yarn`, so they are named by their files.
COMMANDS = {
    "npm": [str(MODULES / ".bin" / "npm")],
    "pnpm": [str(PNPM)],
    "yarn1": [NODE, str(MODULES / "yarn" / "bin" / "yarn.js")],
    "berry": [NODE, str(MODULES / "@yarnpkg" / "cli-dist" / "bin" / "yarn.js")],
    "bun": [str(MODULES / "bun" / "bin" / "bun.exe")],
}
_FOREIGN = ("npm_", "pnpm_", "xdg_", "node_", "yarn_", "bun_")


class NpmClient:
    """One of `COMMANDS` as one user; no setting of this machine reaches it.

    always_auth: send the token with every request, which the yarns do for scopes only.
    """

    def __init__(
        self,
        command: str,
        home: Path,
        registry: RunningRegistry,
        user: str = "",
        *,
        always_auth: bool = False,
    ) -> None:
        self.command = command
        self.home = home
        self.registry = registry
        home.mkdir(parents=True)
        self.npmrc = home / ".npmrc"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.lower().startswith(_FOREIGN)},
            # The Node of the lock file, not one of this machine's.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "xdg-cache"),
            "XDG_CONFIG_HOME": str(home / "xdg-config"),
            "XDG_DATA_HOME": str(home / "xdg-data"),
            "XDG_STATE_HOME": str(home / "xdg-state"),
            "CI": "true",
            **_environment(command, home, registry, always_auth),
        }
        self.always_auth = always_auth
        self.sign_in(registry.tokens[user] if user else "")

    def sign_in(self, token: str) -> None:
        """Use this token from now on, none if it is empty."""
        host = self.registry.npm.removeprefix("http:")
        lines = [
            f"registry={self.registry.npm}",
            f"cache={self.home / 'cache'}",
            "update-notifier=false",
            *(["always-auth=true"] if self.always_auth else []),
            *([f"{host}:_authToken={token}"] if token else []),
        ]
        self.npmrc.write_text("\n".join(lines) + "\n")
        if self.command == "berry":
            self.env.pop("YARN_NPM_AUTH_TOKEN", None)
            self.env |= {"YARN_NPM_AUTH_TOKEN": token} if token else {}

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


def _environment(
    command: str, home: Path, registry: RunningRegistry, always_auth: bool
) -> dict[str, str]:
    """What each client must be told; both yarns read YARN_…, so neither sees the other's."""
    match command:
        case "yarn1":
            return {
                "YARN_CACHE_FOLDER": str(home / "cache"),
                "YARN_DISABLE_SELF_UPDATE_CHECK": "true",
                # Else its home, when root runs it, is one of the machine's folders.
                "FAKEROOTKEY": "1",
            }
        case "berry":
            return {
                "YARN_NPM_REGISTRY_SERVER": registry.npm.removesuffix("/"),
                # Without it a package in a scope is sent as `restricted`, which is refused.
                "YARN_NPM_PUBLISH_ACCESS": "public",
                "YARN_NPM_ALWAYS_AUTH": str(always_auth).lower(),
                "YARN_UNSAFE_HTTP_WHITELIST": "127.0.0.1",
                "YARN_ENABLE_TELEMETRY": "false",
                "YARN_ENABLE_GLOBAL_CACHE": "false",
                "YARN_GLOBAL_FOLDER": str(home / "berry"),
                # `CI` would mean that no install may write yarn.lock.
                "YARN_ENABLE_IMMUTABLE_INSTALLS": "false",
                "YARN_NODE_LINKER": "node-modules",
                # The tests install what was published a moment ago.
                "YARN_NPM_MINIMAL_AGE_GATE": "0",
            }
        case "bun":
            return {
                "BUN_INSTALL": str(home / "bun"),
                "BUN_INSTALL_CACHE_DIR": str(home / "cache"),
                "DO_NOT_TRACK": "1",
            }
        case _:
            return {
                "npm_config_userconfig": str(home / ".npmrc"),
                "npm_config_globalconfig": str(home / "no-global-npmrc"),
                "PNPM_HOME": str(home / "pnpm-home"),
            }


def npm_project(folder: Path, manifest: dict[str, Any]) -> Path:
    """A folder with this package.json and an index.js.

    pnpm is told that fresh versions are fine, and berry that no folder above is the project.
    """
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
