"""Make a small registry with something of every kind, and write down all that it serves.

    PYTHONPATH=tests/support:tests/faults python tests/recorded/record.py FOLDER

It ran once (README.md); a later release runs it into another folder to have a second recording.
"""

import gzip
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import httpx

from publications import SAID_YES, bearer, cargo_publication, npm_publication
from recorded_answers import PUBLIC_URL, answers_of
from running_registry import RunningRegistry
from uploads import new_crate, npm_body, tarball

FEATURES = """
[features]
default = ["a"]
a = []
b = ["a"]
[dependencies]
serde = { version = "1", optional = true }
"""


def main() -> None:
    """Fill a registry through its own interfaces, stop it, keep it."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        registry = RunningRegistry(Path(name), public_url=PUBLIC_URL, workers=1)
        try:
            before_serving(registry)
            registry.start()
            tokens = fill(registry)
            registry.stop()
            registry.cli("purge", "npm:left-over@1.0.0", "--reason", "a secret", "--yes")
            # What follows from the purge is folded and signed before it is kept.
            registry.start()
            registry.stop()
            registry.cli("backup", "--to", str(Path(name) / "backup"))
            pack(Path(name) / "backup", target / "backup.tar.gz")
            pack(registry.data, target / "registry.tar.gz")
            registry.start()
            answers = answers_of(f"http://127.0.0.1:{registry.port}", tokens["root"])
        finally:
            registry.close()
        kept = {"tokens": tokens, "answers": answers}
        (target / "answers.json.gz").write_bytes(gzip.compress(json.dumps(kept).encode(), mtime=0))


def before_serving(registry: RunningRegistry) -> None:
    registry.add_user("root", "--admin")
    for name in ("alice", "bob", "carol"):
        registry.add_user(name)
    registry.cli("user", "disable", "carol")


def fill(registry: RunningRegistry) -> dict[str, str]:
    http, tokens = registry.http, registry.tokens
    alice = bearer(tokens["alice"])

    def say(method: str, path: str, body: object = None, token: dict[str, str] = alice) -> None:
        answer = http.request(method, path, json=body, headers=token)
        assert answer.status_code in SAID_YES, (
            f"{method} {path}: {answer.status_code} {answer.text}"
        )

    for version in ("1.0.0", "1.1.0", "2.0.0-rc.1", "2.0.0"):
        for one in (cargo_publication("demo-crate", version), npm_publication("demo", version)):
            assert one.put(http, tokens["alice"]).status_code in SAID_YES
    body = new_crate("featured", "0.1.0", FEATURES, package='description = "with features"')
    say_bytes(http, body, tokens["bob"])
    scoped = {
        "name": "@scope/tool",
        "version": "1.0.0",
        "description": "a tool",
        "bin": {"tool": "i.js"},
        "dependencies": {"demo": "^1"},
        "repository": "owner/repo",
        "keywords": ["one", "two"],
    }
    packed = tarball(scoped, **{"README.md": b"# A tool\n\nIt is *scoped*.\n"})
    say("PUT", "/npm/@scope%2ftool", npm_body(scoped, packed))
    for version in ("1.0.0", "1.0.1"):
        assert (
            npm_publication("left-over", version).put(http, tokens["bob"]).status_code in SAID_YES
        )
    say("DELETE", "/cargo/api/v1/crates/demo-crate/1.1.0/yank")
    say("DELETE", "/cargo/api/v1/crates/demo-crate/1.0.0/yank")
    say("PUT", "/cargo/api/v1/crates/demo-crate/1.0.0/unyank")
    say("PUT", "/cargo/api/v1/crates/demo-crate/owners", {"users": ["bob"]})
    say("PUT", "/npm/-/package/demo/dist-tags/next", "2.0.0-rc.1")
    say("PUT", "/npm/-/package/demo/dist-tags/old", "1.0.0")
    say("DELETE", "/npm/-/package/demo/dist-tags/old")
    document = http.get("/npm/demo?write=true").json()
    document["versions"]["1.1.0"]["deprecated"] = "use 2"
    say("PUT", "/npm/demo", document)
    for _ in range(3):
        assert http.get("/cargo/crates/demo-crate/2.0.0/download").status_code == 200
        assert http.get("/npm/demo/-/demo-2.0.0.tgz").status_code == 200
    tokens["revoked"] = registry.cli("token", "create", "--user", "bob", "--name", "gone").strip()
    shown = registry.cli("token", "list", "--user", "bob", "--json")
    gone = next(
        one["token_id"] for one in map(json.loads, shown.splitlines()) if "gone" in one.values()
    )
    registry.cli("token", "revoke", gone)
    return dict(tokens)


def say_bytes(http: httpx.Client, body: bytes, token: str) -> None:
    answer = http.put("/cargo/api/v1/crates/new", content=body, headers=bearer(token))
    assert answer.status_code in SAID_YES, answer.text


def pack(folder: Path, to: Path) -> None:
    with tarfile.open(to, "w:gz") as archive:
        archive.add(folder, folder.name)


if __name__ == "__main__":
    main()
