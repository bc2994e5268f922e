"""A package.json means to the registry what it means to node, whatever bytes it is made of."""

import base64
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from npm_client import NODE
from packledger.domain.errors import Invalid
from packledger.domain.npm.manifest import ArchiveFacts, normalise_package_json
from processes import run

pytestmark = pytest.mark.client

PIECES = [
    *(b"\\ud83d", b"\\ude00", b"\\uDFFF", b"\\ud800", b"\\\\", b"\\n", b'\\"', b"\\u0041", b"\\/"),
    *(b"\xe9", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f", b"\xf0\x9f\x92\xa9", b"\xc3\xa9"),
    *(b"\xef\xbb\xbf", b"a", b"u", b"d83d", b" ", b"\\", b"\x00", b"\n", b'"', b"\\x", b"\\u12"),
    b"\xe2\x80\xa8",
]  # fmt: skip
READ = """
for (const line of require('fs').readFileSync(0, 'latin1').trim().split('\\n')) {
  const text = Buffer.from(line, 'base64').toString().replace(/^\\ufeff/, '')
  let read = null
  try { read = JSON.parse(text).x.toWellFormed() } catch {}
  console.log(JSON.stringify(read))
}
"""


def ours(package_json: bytes) -> str | None:
    try:
        stored = normalise_package_json(package_json, ArchiveFacts())
    except Invalid:
        return None
    fields: dict[str, Any] = json.loads(stored.json.decode())
    text: str = fields["x"]
    return text


def test_node_reads_the_same_text_or_none(tmp_path: Path) -> None:
    random = Random(3)
    texts = [b"".join(random.choices(PIECES, k=random.randint(1, 6))) for _ in range(5_000)]
    files = [b'{"name":"n","version":"1.0.0","x":"' + text + b'"}' for text in texts]
    lines = "\n".join(base64.b64encode(file).decode() for file in files)
    said = run([NODE, "-e", READ], cwd=tmp_path, env={}, stdin=lines).stdout
    theirs = [json.loads(line) for line in said.rstrip("\n").split("\n")]
    assert [ours(file) for file in files] == theirs
    assert 1_000 < sum(text is not None for text in theirs) < 4_000
