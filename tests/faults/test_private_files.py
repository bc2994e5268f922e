"""Nobody but its owner reads a registry's files, whoever runs a command and however it came."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from documents_served import publish_all
from every_command import COMMANDS, needed
from packledger.cli.main import main
from packledger.projections.static_tree.files import StaticFiles
from processes import Finished, run
from running_registry import PACKLEDGER, RunningRegistry, environment

ROOT = os.geteuid() == 0
OTHER = 65534
"""On a machine where we are root, the registry is somebody else's."""
OWNER = OTHER if ROOT else os.geteuid()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others can reach, and processes that are careless by default."""
    before = os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory(prefix="packledger-private-") as made:
            Path(made).chmod(0o755)
            yield Path(made)
    finally:
        os.umask(before)


def readable() -> list[str]:
    """What a command of root is run by, so that others can read the Python below somebody's home.

    Nothing but a mount namespace of its own changes.
    """
    python = Path(sys.base_prefix)
    closed = [path for path in python.parents if not path.stat().st_mode & 0o001]
    if not ROOT or not closed:
        return []
    script = """
      set -e; umask 022
      mount --make-rprivate /; kept=$(mktemp -d)
      mount --bind "$1" "$kept"; mount -t tmpfs -o mode=755 tmpfs "$2"
      mkdir -p "$1"; mount --move "$kept" "$1"; rmdir "$kept"
      shift 2; exec "$@"
    """
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(python), str(closed[-1])]


READABLE = readable()
AS_USER = ["setpriv", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]


def given_away(path: Path, mode: int = 0o755) -> Path:
    """Create a folder of the registry's owner."""
    path.mkdir()
    path.chmod(mode)
    if ROOT:
        os.chown(path, OTHER, OTHER)
    return path


def wrong(folder: Path) -> list[str]:
    """Every file below that somebody else may use, or that is somebody else's."""
    found = []
    for path in (folder, *folder.rglob("*")):
        try:
            status = path.lstat()
        except FileNotFoundError:  # `serve` renames what it has written beside its name
            continue
        if status.st_mode & 0o077 or status.st_uid != OWNER:
            found.append(f"{path.relative_to(folder)} {status.st_mode:o} {status.st_uid}")
    return found


# As root where the tests are; each is run beside `serve`, and what it creates is looked at.
BESIDE_SERVE = """
user add bob --password-stdin|user list|user password bob --password-stdin|user disable bob
token create --user alice|token list --user alice|history|verify|rebuild|rebuild --check
rebuild static-tree|gc --dry-run|gc|migrate|config check|signing-key list|signing-key rotate
signing-key sign|log key|log rotate|receipt cargo:cargo-name-1@1.1.0 --out {out}/receipt
backup --to {out}/backup|backup --to {out}/backup|repair blobs --from {out}/backup
export --as-of 3 --to {out}/export --url https://r.example.com
purge npm:npm-name-1@1.2.0 --reason leaked --yes|restore --from {out}/backup --data {out}/restored
log restart --yes
"""


def test_no_command_leaves_a_file_to_anybody_else(folder: Path) -> None:
    registry = RunningRegistry(
        folder / "registry",
        [*READABLE, PACKLEDGER, "serve"],
        static_tree=folder / "tree",
        private=True,
    )
    given_away(registry.data)
    given_away(folder / "tree")
    out = given_away(folder / "out", 0o700)
    given_away(out / "restored", 0o700)
    try:
        registry.start()
        run_beside(registry, "user add alice --admin --password-stdin", folder)
        token = run_beside(registry, "token create --user alice", folder).strip()
        with httpx.Client(base_url=f"http://127.0.0.1:{registry.port}", timeout=30) as http:
            publish_all(http, token)
        assert wrong(registry.data) == []
        for line in BESIDE_SERVE.strip().replace("\n", "|").split("|"):
            run_beside(registry, line.format(out=out), folder)
            assert wrong(registry.data) + wrong(out) == [], line
        registry.stop()
        registry.start()  # nothing keeps the node from going on
        registry.stop()
        assert wrong(registry.data) == []
    finally:
        registry.close()


def run_beside(registry: RunningRegistry, line: str, folder: Path) -> str:
    arguments = line.split()
    data = [] if "--data" in arguments else ["--data", str(registry.data)]
    command = [*READABLE, PACKLEDGER, *arguments, *data]
    return run(command, cwd=folder, env=registry.env, stdin="password of somebody\n").stdout


def cli(*arguments: str, data: Path, fails: bool = False, user: int | None = None) -> Finished:
    command = [PACKLEDGER, *arguments, "--data", str(data)]
    if user is not None and ROOT:
        command = [*AS_USER, f"--reuid={user}", f"--regid={user}", *command]
    return run(
        [*READABLE, *command],
        cwd=data.parent,
        env=environment({}),
        stdin="password of alice\n",
        fails=fails,
    )


@pytest.fixture
def wide(folder: Path) -> Path:
    """The data directory of a registry that anybody can read, as an older release left it."""
    data = given_away(folder / "data")
    cli("user", "add", "alice", "--password-stdin", data=data)
    cli("rebuild", data=data)
    for path in (data, *data.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return data


def test_a_wide_data_directory_is_narrowed_and_said_so(wide: Path) -> None:
    said = cli("history", data=wide).stderr
    assert "events.sqlite` (mode 0644); now its owner alone can" in said
    assert [path for path in (wide, *wide.iterdir()) if path.stat().st_mode & 0o077] == []
    assert cli("history", data=wide).stderr == ""


def test_what_lies_beside_the_registry_stays_as_it_is(wide: Path) -> None:
    config = wide / "packledger.toml"
    config.write_text("")
    config.chmod(0o644)
    cli("history", data=wide)
    assert stat.S_IMODE(config.stat().st_mode) == 0o644
    assert stat.S_IMODE(wide.stat().st_mode) == 0o755, "its owner may look at the settings there"
    assert stat.S_IMODE((wide / "events.sqlite").stat().st_mode) == 0o600
    wide.chmod(0o777)
    assert "everybody may write into" in cli("history", data=wide, fails=True).stderr


def test_a_volume_of_root_is_used_by_its_group(folder: Path) -> None:
    """As Kubernetes mounts one with `fsGroup`; what is inside is its owner's alone."""
    data = given_away(folder / "data")
    if ROOT:
        os.chown(data, 0, OTHER)
    data.chmod(0o2775)
    for command in (["user", "add", "alice", "--password-stdin"], ["rebuild"]):
        cli(*command, data=data, user=OTHER)
    cli("history", data=data)  # root, who does not own it either
    assert [one for one in wrong(data) if not one.startswith(". ")] == []
    assert bool(wrong(data)) is ROOT


def test_what_cannot_be_narrowed_is_named(folder: Path) -> None:
    data = given_away(folder / "data")
    cli("user", "add", "alice", "--password-stdin", data=data)
    if ROOT:
        os.chown(data / "blobs", 0, 0)
        (data / "blobs").chmod(0o755)
        refused = cli("history", data=data, user=OTHER, fails=True).stderr
        assert f"others may use `{data}/blobs` (mode 0755)" in refused
        assert "run `chmod go=` on it" in refused
    else:
        data.chmod(0)
        refused = cli("history", data=data, fails=True).stderr
        data.chmod(0o700)
    assert refused.startswith("Error: ")
    assert len(refused.splitlines()) == 1


def test_a_registry_of_somebody_else_is_refused_in_a_sentence(folder: Path) -> None:
    data = given_away(folder / "data")
    cli("user", "add", "alice", "--password-stdin", data=data)
    if not ROOT:
        data.chmod(0)
    refused = cli("history", data=data, user=1, fails=True).stderr
    data.chmod(0o700)
    assert refused.startswith(f"Error: `{data}/")
    assert "cannot be used by" in refused
    assert len(refused.splitlines()) == 1


@pytest.mark.parametrize("private", [True, False])
def test_the_static_tree_is_read_by_whom_it_is_for(folder: Path, private: bool) -> None:
    """nginx has a user and a group of its own; the directory has that group."""
    tree = folder / "tree"
    if ROOT:
        tree.mkdir()
        os.chown(tree, 0, OTHER)
        tree.chmod(0o2755)
    os.umask(0o077)
    files = StaticFiles(tree, private=private)
    document: Any = type("Document", (), {"body": b"plain", "gzip": b"zipped"})
    files.place(files.write("cargo/index/de/mo/demo", document, 1_700_000_000))
    found = [tree, *tree.rglob("*")]
    assert len(found) == 9
    for path in found:
        mode = stat.S_IMODE(path.stat().st_mode) & 0o777
        assert mode == (
            (0o750 if private else 0o755) if path.is_dir() else 0o640 | 4 * (not private)
        )
        assert path.stat().st_gid == (OTHER if ROOT else os.getegid())
    if ROOT:
        read = ["cat", str(tree / "cargo/index/de/mo/demo")]
        for user, group, may in ((2, OTHER, True), (2, 2, not private)):
            who = [*AS_USER, f"--reuid={user}", f"--regid={group}"]
            done = subprocess.run([*who, *read], capture_output=True, timeout=60, check=False)
            assert (done.returncode == 0) is may


# -- a mistyped --data ----------------------------------------------------------------------------

CREATING = {"serve", "user add", "migrate", "restore"}
WITHOUT = {"relay", "config check", "config docs", "verify-receipt"}


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.lstat() for path in (folder, *folder.rglob("*"))}
    return {str(path): (one.st_mode, one.st_mtime_ns) for path, one in found.items()}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - CREATING - WITHOUT))
@pytest.mark.parametrize("data", ["nothing", "empty", "other"])
def test_a_mistyped_data_directory_stays_as_it_is(
    folder: Path, name: str, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    for path in ("other/run", "other/blobs/sha256", "other/read"):
        (folder / path).mkdir(parents=True)
    (folder / "other" / "run" / "a.pid").write_text("1")
    before = listing(folder)
    command = [*name.split(), *needed(COMMANDS[name]), "--data", data]
    done = CliRunner().invoke(main, command, input="y\npassword\npassword\n")
    assert done.exit_code == 1, done.output
    # Before it asks for anything, about a registry that is not there.
    assert done.output.startswith(f"Error: there is no registry in `{data}`"), done.output
    assert listing(folder) == before


@pytest.mark.parametrize("name", ["serve", "user add", "migrate"])
def test_no_registry_is_made_among_files_that_look_like_its_own(folder: Path, name: str) -> None:
    """Such as in `/`, which has a `run` that others need."""
    (folder / "run").mkdir()
    (folder / "run" / "a.pid").write_text("1")
    before = listing(folder)
    extra = {"serve": ["--listen", "http://127.0.0.1:0"], "user add": ["alice"]}.get(name, [])
    done = cli(*name.split(), *extra, data=folder, fails=True)
    assert f"there is a `run` in `{folder}`, but no registry" in done.stderr
    assert listing(folder) == before


@pytest.mark.parametrize("there", ["tmp", "tmp begin.lock", "tmp begin.lock web.lock sign.lock"])
def test_a_node_begins_beside_another_process_of_it_that_has_begun(
    folder: Path, there: str
) -> None:
    """As in containers that start together on a new volume."""
    registry = RunningRegistry(folder, public_url="http://127.0.0.1:1")
    run_folder = registry.data / "run"
    (run_folder / "tmp").mkdir(parents=True)
    for name in there.split()[1:]:
        (run_folder / name).touch()
    try:
        registry.start()
        names = {path.name for path in run_folder.iterdir()}
        assert set(there.split()) <= names, "no process of a node makes this"
    finally:
        registry.close()
