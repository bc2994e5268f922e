"""The recipes of the documents and pages, as they stand there, and a desk at which they are tried.

In a document a fenced block has a name behind its language. One of settings names its file:
`# ~/.npmrc` as its first line, or as the block's name. On a page `data-file` of a `<pre>` names it,
or the term of a list.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from npm_client import COMMANDS, NODE
from processes import Finished, run
from sealed import Sealed
from terminal import converse

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TOKEN = "plk_..."
FILES = {".npmrc", ".yarnrc.yml", "pnpm-workspace.yaml"}
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (~?/?[\w./-]+\.\w+|~?/?\.[\w./-]+)\b")


@dataclass(frozen=True)
class Block:
    """where: `README.md: npmrc`. file: where its text belongs, empty: it is to be run.

    label: on a page, the term of a list that it is the description of.
    """

    where: str
    language: str
    text: str
    file: str = ""
    label: str = ""

    def line(self, client: str) -> str:
        """The line of one client; yarn's say which yarn."""
        (found,) = [line for line in self.text.splitlines() if _client(line) == client]
        return found


def _client(line: str) -> str:
    command, _, comment = line.partition("# ")
    word = command.rpartition("&& ")[2].split()[0]
    return {"yarn 1": "yarn1", "yarn berry": "berry"}.get(comment.strip(), word)


def documents() -> dict[str, Block]:
    """Every fenced block of every document; one without a name is numbered."""
    found: dict[str, Block] = {}
    for path in DOCUMENTS:
        name = str(path.relative_to(ROOT))
        for number, (info, text) in enumerate(_FENCE.findall(path.read_text()), 1):
            language, called, *_ = [*info.split(), "", ""]
            called = called or f"block {number} without a name"
            where = f"{name}: {called}"
            assert where not in found, f"two blocks are {where}"
            comment = _FILE.match(text)
            file = called if language == "json" else comment[1] if comment else ""
            found[where] = Block(where, language, text, file)
    return found


class Page(HTMLParser):
    """blocks: every `<pre class="take">` of a page, in order."""

    def __init__(self, where: str, html: str) -> None:
        super().__init__()
        self.blocks: list[Block] = []
        self._where, self._inside, self._label, self._file, self._text = where, "", "", "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "dt" or (tag == "pre" and attributes.get("class") == "take"):
            self._inside, self._text = tag, ""
            self._file = attributes.get("data-file") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "dd":
            self._label = ""
        if tag != self._inside:
            return
        self._inside = ""
        if tag == "dt":
            self._label = self._text
        else:
            file = self._file or (self._label if self._label in FILES else "")
            self.blocks.append(Block(self._where, "", self._text, file, self._label))

    def handle_data(self, data: str) -> None:
        self._text += data if self._inside else ""


class Desk:
    """Somebody with a new home and a new project, in the sealed place, who does as the text says.

    yarn: which one is called so. token: what stands for the placeholder.
    """

    def __init__(self, sealed: Sealed, folder: Path, *, token: str = "", yarn: str = "yarn1"):
        self.home, self.project = folder / "home", folder / "project"
        self.sealed, self.token = sealed, token
        for one in (self.home, self.project):
            one.mkdir(parents=True)
        programs = {**COMMANDS, "yarn": COMMANDS[yarn], "node": [NODE]}
        path = folder / "bin"
        path.mkdir()
        for name, words in programs.items():
            (path / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
            (path / name).chmod(0o755)
        self.env = {
            "PATH": f"{path}:{_toolchain()}:/usr/bin:/bin",
            "HOME": str(self.home),
            # What pretends to be a public host is as trusted as that, else nobody would talk to it.
            "NODE_EXTRA_CA_CERTS": str(sealed.authority),
        }

    def write(self, *blocks: Block) -> None:
        """Put each text where it says that it belongs, with the token in its place."""
        for block in blocks:
            assert block.file, f"{block.where} names no file"
            path = self._place(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = block.text.replace(TOKEN, self.token).rstrip("\n")
            if text.endswith(("=", ": ", ":")):
                text += self.token
            before = path.read_text() if path.exists() else ""
            path.write_text(f"{before}{text}\n")

    def _place(self, file: str) -> Path:
        if file.startswith("~/"):
            return self.home / file[2:]
        return self.project / file

    def manifest(self, name: str, **more: object) -> None:
        """A project's package.json."""
        text = {"name": name, "version": "1.0.0", "license": "MIT", **more}
        (self.project / "package.json").write_text(json.dumps(text))

    def source(self) -> None:
        """A crate's only file of code."""
        (self.project / "src").mkdir()
        (self.project / "src" / "lib.rs").write_text("pub fn it() -> u32 { 1 }\n")

    def installed(self, name: str) -> str:
        """The version of an installed package, as a program finds it."""
        node = "yarn node" if (self.project / ".pnp.cjs").exists() else "node"
        script = f'console.log(require("{name}/package.json").version)'
        return self.run(f"{node} -e '{script}'").stdout.strip()

    def run(self, script: str, *, fails: bool = False) -> Finished:
        """Run commands as they stand; a program that reads gets the token."""
        words = self.sealed.command(["bash", "-euc", script])
        return run(words, cwd=self.project, env=self.env, stdin=f"{self.token}\n", fails=fails)

    def talk(self, script: str, answers: list[tuple[str, str]]) -> Finished:
        """Run commands that ask something."""
        words = self.sealed.command(["bash", "-euc", script])
        said = converse(words, answers, cwd=self.project, env=self.env)
        assert said.code == 0, said.text
        return said


def _toolchain() -> str:
    """Where cargo itself is: rustup's would look for its settings in a home."""
    found = subprocess.run(
        ["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True
    )
    path = Path(found.stdout.strip()) / "bin"
    cargo = path / "cargo" if (path / "cargo").exists() else Path(shutil.which("cargo") or os.sep)
    return str(cargo.parent)
