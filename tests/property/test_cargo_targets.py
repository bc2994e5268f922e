"""A dependency's target is what cargo itself prints of it, as in the public index."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packledger.domain.cargo.requirements import normalise_target

BLANK = st.sampled_from(["", " ", "  "])
# not `r#true`, which cargo prints as `true`: another meaning, so ours stays as it is written
WORD = st.sampled_from(["unix", "windows", "target_os", "feature", "_x", "true"])
PAIR = st.builds(
    '{}{}={}"{}"'.format, WORD, BLANK, BLANK, st.sampled_from(["hermit", "", " a , b( ", "=", "é"])
)


def listed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    spaced = st.builds("{}{}{}".format, BLANK, inner, BLANK)
    items = st.lists(spaced, max_size=3).map(",".join)
    comma = st.sampled_from(["", ",", " , "])
    several = st.builds(
        lambda word, blank, items, comma: f"{word}{blank}({items}{comma if items.strip() else ''})",
        st.sampled_from(["all", "any"]),
        BLANK,
        items,
        comma,
    )
    return several | st.builds("not{}({})".format, BLANK, spaced)


EXPRESSION = st.recursive(WORD | PAIR, listed, max_leaves=6)
TARGET = st.builds("cfg({}{}{})".format, BLANK, EXPRESSION, BLANK)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    (folder / "src").mkdir()
    (folder / "src" / "lib.rs").touch()
    return folder


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TARGET, min_size=1, max_size=40, unique=True))
def test_a_target_is_what_cargo_makes_of_it(package: Path, targets: list[str]) -> None:
    tables = [
        f"[target.{json.dumps(text, ensure_ascii=False)}.dependencies]\nd{at} = '1'\n"
        for at, text in enumerate(targets)
    ]
    start = '[package]\nname = "p"\nversion = "1.0.0"\nedition = "2021"\n'
    (package / "Cargo.toml").write_text(start + "".join(tables))
    said = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"],
        cwd=package,
        env={**os.environ, "CARGO_HOME": str(package / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    dependencies = json.loads(said.stdout)["packages"][0]["dependencies"]
    theirs = {one["name"]: one["target"] for one in dependencies}
    assert {f"d{at}": normalise_target(text) for at, text in enumerate(targets)} == theirs
    for text in theirs.values():
        assert normalise_target(text) == text
