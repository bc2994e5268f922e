"""What is installed equals the tree, and nothing tracked speaks of one machine."""

import ast
import fnmatch
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePath

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Folders that are in the repository without being part of the installed package.
NOT_INSTALLED = {"bench", "docs", "tests"}


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [name for name in listing.stdout.decode().split("\0") if (ROOT / name).is_file()]


def packages() -> list[str]:
    return [name.removeprefix("packledger.") for name in SETTINGS["tool"]["setuptools"]["packages"]]


def layers() -> list[str]:
    return [name for name in packages() if "." not in name]


def dotted(folder: PurePath | str) -> str:
    return str(folder).replace("/", ".")


def test_every_folder_of_python_files_is_installed_and_nothing_else() -> None:
    folders = {name.rpartition("/")[0] for name in tracked() if name.endswith(".py")}
    code = {
        folder.replace("/", ".") for folder in folders if folder.split("/")[0] not in NOT_INSTALLED
    }
    assert code == set(packages())


def test_every_installed_folder_is_typed_and_says_what_may_live_there() -> None:
    for name in packages():
        folder = ROOT / name.replace(".", "/")
        assert (folder / "py.typed").is_file(), name
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), name


def test_templates_and_other_data_are_installed_with_their_folder() -> None:
    """An editable install finds them anyway; the image would not."""
    patterns = SETTINGS["tool"]["setuptools"]["package-data"]
    for name in tracked():
        if name.endswith(".py") or name.split("/")[0] not in layers():
            continue
        homes = [str(folder) for folder in PurePath(name).parents if dotted(folder) in packages()]
        known = [
            f"{home}/{pattern}"
            for home in homes
            for pattern in (*patterns["*"], *patterns.get(f"packledger.{dotted(home)}", []))
        ]
        assert any(fnmatch.fnmatch(name, pattern) for pattern in known), name


def built(folder: Path, names: list[str], what: str) -> Path:
    """Build a `wheel` or an `sdist` of some tracked files, as pip does without isolation."""
    for name in names:
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "tree" / name)
    script = f"from setuptools.build_meta import build_{what} as build; build({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=folder / "tree",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (found,) = [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]
    return found


LICENSES = ("LICENSE-MIT", "LICENSE-APACHE")


def check_metadata(metadata: str) -> None:
    assert "\nLicense-Expression: MIT OR Apache-2.0\n" in metadata
    for name in LICENSES:
        assert f"\nLicense-File: {name}\n" in metadata


def test_the_wheel_of_the_image_has_its_licences(tmp_path: Path) -> None:
    """The image's build sees no more than .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    names = [
        name
        for name in tracked()
        if any(fnmatch.fnmatch(name.split("/")[0], pattern) for pattern in allowed)
    ]
    with zipfile.ZipFile(built(tmp_path, names, "wheel")) as wheel:
        inside = {PurePath(name).name: name for name in wheel.namelist()}
        check_metadata(wheel.read(inside["METADATA"]).decode())
        for name in LICENSES:
            assert wheel.read(inside[name]) == (ROOT / name).read_bytes()


def test_the_source_distribution_has_its_licences(tmp_path: Path) -> None:
    names = [name for name in tracked() if not name.startswith(("tests/", "bench/", "docs/"))]
    with tarfile.open(built(tmp_path, names, "sdist")) as sdist:
        inside = {name.partition("/")[2]: name for name in sdist.getnames()}
        assert set(LICENSES) <= set(inside)
        found = sdist.extractfile(inside["PKG-INFO"])
        assert found is not None
        check_metadata(found.read().decode())


def test_coverage_and_makefile_know_every_installed_folder() -> None:
    assert SETTINGS["tool"]["coverage"]["run"]["source"] == layers()
    assert f"LAYERS := {' '.join(layers())}" in (ROOT / "Makefile").read_text().splitlines()


def test_no_tracked_file_names_a_registry_host_or_a_path_of_one_machine() -> None:
    # Written so that this file does not match itself.
    hosts = [
        "npm[j]s[.](org|com)",
        "(static|index)[.]crates",
        "pyp[i][.]org",
        "pythonhoste[d]",
        "repo1?[.]maven",
        "proxy[.]golan[g]",
        "registry[.]yarnpk[g]",
    ]
    paths = ["(^|[^A-Za-z0-9._-])/(work|farm|root)/"]
    forbidden = re.compile("|".join(hosts + paths), re.MULTILINE)
    found = {}
    for name in tracked():
        text = (ROOT / name).read_bytes().decode("utf-8", "replace")
        if match := forbidden.search(text):
            found[name] = match.group()
    assert found == {}


def test_lock_files_pin_by_hash_and_leave_the_index_to_the_machine() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert not re.search(r"^--", text, re.MULTILINE), f"{name} sets an option"
        for pin in re.split(r"\n(?=[a-z])", re.sub(r"(?m)^ *#.*\n?", "", text).strip()):
            assert re.fullmatch(
                r"[a-z0-9.-]+==\S+( \\\n +--hash=sha256:[0-9a-f]{64})+", pin.strip()
            ), pin
    npm_lock = (ROOT / "tests/client/package-lock.json").read_text()
    assert '"resolved"' not in npm_lock


def test_every_dependency_is_pinned() -> None:
    def names(requirements: list[str]) -> set[str]:
        found = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
        return {re.sub(r"[._-]+", "-", match.group()).lower() for match in found if match}

    def pinned(name: str) -> set[str]:
        return names(re.findall(r"(?m)^[a-z0-9.-]+(?===)", (ROOT / name).read_text()))

    needed = names([*SETTINGS["project"]["dependencies"], *SETTINGS["build-system"]["requires"]])
    assert needed <= pinned("requirements.lock"), "run `make lock`"
    needed |= names(SETTINGS["dependency-groups"]["dev"])
    assert needed <= pinned("requirements-dev.lock"), "run `make lock`"


def test_the_test_lock_contains_the_run_time_lock() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"(?m)^[a-z0-9.-]+==\S+", (ROOT / name).read_text()))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
