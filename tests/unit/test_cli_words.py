"""What the command line prints: whole summaries, defaults, and nothing that steers a terminal."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import click
import httpx
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given as for_all
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from every_command import COMMANDS, GROUPS, given, needed
from packledger.cli.main import main
from packledger.server.escapes import escaped
from packledger.server.http.settings import DEFAULT_LISTEN
from process_tree import wait_until
from running_registry import PACKLEDGER, environment

HOSTILE = "\x1b]0;owned\x07\x1b[31m\u009b2J\u202eevil\u2066\r\x7f\u2028"
HARMFUL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
PROCESSES = {"serve", "web", "project", "relay", "sign", "migrate"}


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", GROUPS)
def test_no_summary_is_cut(name: str) -> None:
    shown = words(CliRunner().invoke(main, [*name.split(), "--help"]).output)
    for inner, command in GROUPS[name].commands.items():
        summary = words((command.help or "").split("\n\n")[0])
        assert summary.endswith(".")
        assert f"{inner} {summary}" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does_and_its_default(name: str) -> None:
    shown = words(CliRunner().invoke(main, [*name.split(), "--help"]).output)
    assert '[default: ""]' not in shown
    defaults = {"data": "packledger-data", "listen": DEFAULT_LISTEN, "workers": "2"}
    for one in COMMANDS[name].params:
        if not isinstance(one, click.Option):
            continue
        assert one.opts[0] in shown
        assert one.help
        assert words(one.help) in shown
        assert "may be repeated" in one.help or not one.multiple
        default = defaults.get(one.opts[0].removeprefix("--"))
        own = one.to_info_dict()["default"]
        if default is None and not isinstance(own, bool) and isinstance(own, (int, str)) and own:
            default = str(own)
        if default is not None:
            assert re.search(rf"{one.opts[0]} .*?\[default: \(?{re.escape(default)}\)?[;\]]", shown)


@given_settings(deadline=None)
@for_all(st.text())
def test_escaped_text_is_harmless_and_the_rest_is_as_it_was(text: str) -> None:
    shown = escaped(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert escaped(shown) == shown
    assert re.sub(r"\\u[0-9a-f]{4}", "", shown) == re.sub(
        r"\\u[0-9a-f]{4}", "", "".join(one for one in text if escaped(one) == one)
    )


@given_settings(deadline=None)
@for_all(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_stays_the_same_json(value: object) -> None:
    assert json.loads(escaped(msgspec.json.encode(value).decode())) == value
    assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a registry."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        main, ["user", "add", "alice", "--password-stdin"], input="password of alice\n"
    )
    assert done.exit_code == 0, done.output
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_no_argument_steers_the_terminal(here: Path, name: str) -> None:
    """Whatever a command says of its arguments, also where it does what they ask for."""
    for one in COMMANDS[name].params:
        takes = not (isinstance(one, click.Option) and (one.is_flag or one.count))
        if not takes or (name in PROCESSES and one.name not in {"listen", "workers", "config"}):
            continue
        line = [*name.split(), *needed(COMMANDS[name], one.name or ""), *given(one, HOSTILE)]
        done = CliRunner().invoke(main, line, input=f"y\n{'password ' * 3}\n")
        assert not isinstance(done.exception, UnicodeError)
        assert not re.search(HARMFUL, done.output), (line, done.output)


def test_what_is_recorded_does_not_steer_the_terminal_either(here: Path) -> None:
    made = CliRunner().invoke(main, ["token", "create", "--user", "alice", "--name", HOSTILE])
    assert made.exit_code == 0
    listed = CliRunner().invoke(main, ["token", "list", "--user", "alice"]).output
    assert "\\u001b]0;owned\\u0007" in listed
    as_json = CliRunner().invoke(main, ["token", "list", "--user", "alice", "--json"]).output
    assert json.loads(as_json)["label"] == HOSTILE
    for shown in (listed, as_json):
        assert not re.search(HARMFUL, shown)


def test_an_unknown_command_does_not_steer_the_terminal() -> None:
    for line in ([HOSTILE], [f"--{HOSTILE}"], ["user", HOSTILE], ["history", f"--{HOSTILE}"]):
        done = CliRunner().invoke(main, line)
        assert done.exit_code == 2
        assert not re.search(HARMFUL, done.output)


def test_restore_prints_a_command_that_starts_what_was_restored(here: Path) -> None:
    run = CliRunner()
    assert run.invoke(main, ["backup", "--to", "kept"]).exit_code == 0
    done = run.invoke(main, ["restore", "--from", "kept", "--data", "an other's data"])
    assert done.exit_code == 0, done.output
    command = re.search("start it with `(.+)`", done.output)
    assert command
    assert shlex.split(command[1]) == ["packledger", "serve", "--data", "an other's data"]
    assert (here / "an other's data" / "events.sqlite").exists()
    code = run.invoke(main, ["migrate", "--data", "a new one"]).output
    assert f"--data {shlex.quote('a new one')}" in code


@pytest.mark.parametrize("public_url", ["", "https://registry.example.com/team"])
def test_serve_prints_where_its_page_is_and_ends_without_a_warning(
    tmp_path: Path, public_url: str
) -> None:
    """On a port that the system chooses, and with an output that is no terminal."""
    env = environment({"public_url": public_url, "workers": 1}) | {"PYTHONWARNINGS": "error"}
    out, err = tmp_path / "out", tmp_path / "err"
    command = [PACKLEDGER, "serve", "--data", str(tmp_path / "data")]
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--listen", "http://127.0.0.1:0"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        page = r"(?m)^  page   (http\S+/)$"
        wait_until(lambda: re.search(page, out.read_text()) is not None, "the page", 60)
        shown = re.search(page, out.read_text())
        assert shown
        assert not shown[1].endswith(":0/")
        if public_url:
            assert shown[1] == f"{public_url}/"
        else:
            wait_until(lambda: _answers(f"{shown[1]}health"), "it serves", 60)
            assert httpx.get(shown[1]).status_code == 200
    finally:
        process.terminate()
        code = process.wait(45)
    assert code == 0, err.read_text()
    lines = err.read_text().splitlines()
    assert [one for one in lines if not one.startswith("{") or "Warning" in one] == []


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
