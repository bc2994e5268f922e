"""What users do, in each client's own words."""

import json
from pathlib import Path

from npm_client import NpmClient
from processes import Finished

ALL = ("npm", "pnpm", "yarn1", "berry", "bun")
LOCKS = {
    "npm": "package-lock.json",
    "pnpm": "pnpm-lock.yaml",
    "yarn1": "yarn.lock",
    "berry": "yarn.lock",
    "bun": "bun.lock",
}


def publish(
    client: NpmClient, folder: Path, *options: str, tag: str = "", fails: bool = False
) -> Finished:
    """Publish the package in a folder."""
    manifest = json.loads((folder / "package.json").read_text())
    tagged = ["--tag", tag] if tag else []
    words = {
        "npm": ["publish"],
        "pnpm": ["publish", "--no-git-checks"],
        # Without a version it asks for one.
        "yarn1": ["publish", "--non-interactive", "--new-version", manifest["version"]],
        "berry": ["npm", "publish"],
        "bun": ["publish"],
    }
    if client.command == "berry" and not (folder / "yarn.lock").exists():
        client("install", cwd=folder)  # it packs only what its lock file knows
    return client(*words[client.command], *tagged, *options, cwd=folder, fails=fails)


def install(client: NpmClient, folder: Path, *options: str, fails: bool = False) -> Finished:
    """Install what a folder's package.json asks for."""
    quiet = ["--non-interactive"] if client.command == "yarn1" else []
    return client("install", *quiet, *options, cwd=folder, fails=fails)


def install_locked(client: NpmClient, folder: Path) -> Finished:
    """Install what the lock file says, and nothing else."""
    words = {
        "npm": ["ci"],
        "pnpm": ["install", "--frozen-lockfile"],
        "yarn1": ["install", "--frozen-lockfile", "--non-interactive"],
        "berry": ["install", "--immutable"],
        "bun": ["install", "--frozen-lockfile"],
    }
    return client(*words[client.command], cwd=folder)


def whoami(client: NpmClient, fails: bool = False) -> Finished:
    """Ask the registry who the token belongs to; yarn 1 cannot."""
    words = {
        "npm": ["whoami"],
        "pnpm": ["whoami", "--registry", client.registry.npm],
        "berry": ["npm", "whoami"],
        "bun": ["pm", "whoami"],
    }
    return client(*words[client.command], fails=fails)


def tag(client: NpmClient, verb: str, *what: str, cwd: Path, fails: bool = False) -> Finished:
    """`add`, `list` or `remove` a dist-tag; bun cannot."""
    words = {"npm": ["dist-tag"], "pnpm": ["dist-tag"], "yarn1": ["tag"], "berry": ["npm", "tag"]}
    short = {"list": "ls", "remove": "rm"} if client.command in {"npm", "pnpm"} else {}
    return client(*words[client.command], short.get(verb, verb), *what, cwd=cwd, fails=fails)
