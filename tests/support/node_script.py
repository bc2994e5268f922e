"""A module of the real npm, asked line by line: what its JavaScript says is what ours must say."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from npm_client import MODULES, NODE

NPM_MODULES = MODULES / "npm" / "node_modules"
_LOOP = """
const answer = {expression}
require('node:readline').createInterface({{ input: process.stdin }}).on('line', line => {{
  let said = null
  try {{ said = answer(JSON.parse(line)) ?? null }} catch {{}}
  process.stdout.write(JSON.stringify(said) + '\\n')
}})
"""


class NodeScript:
    """Calls a function of JavaScript, one value in and one out; what it throws is None."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, value: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def node_script(expression: str, folder: Path = NPM_MODULES) -> Iterator[NodeScript]:
    """Run a function, an expression in which `require` finds npm's own modules."""
    process = subprocess.Popen(
        [NODE, "-e", _LOOP.format(expression=expression)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        script = NodeScript(process)
        script(None)  # it has started
        yield script
        assert process.stdin is not None
        process.stdin.close()
