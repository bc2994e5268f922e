"""`packledger verify-receipt`: check the proof of a publication without a registry."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from packledger.audit.translog.notes import VerifierKey
from packledger.audit.translog.receipts import (
    BadReceipt,
    Proven,
    check_file,
    check_state,
    parse_receipt,
    published_file,
)
from packledger.audit.translog.receipts import verify_receipt as prove
from packledger.cli.options import VKEY

_READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("verify-receipt")
@click.argument("file", type=_READABLE)
@click.option("--key", required=True, type=VKEY, help="The log's, as `packledger log key` says.")
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    type=VKEY,
    help="Must have cosigned; may be repeated.",
)
@click.option("--state", type=_READABLE, help="The stored state, if the receipt does not have it.")
@click.option("--crate", "--tarball", "package", type=_READABLE, help="Must be what was published.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify_receipt(
    file: Path,
    key: VerifierKey,
    witnesses: tuple[VerifierKey, ...],
    state: Path | None,
    package: Path | None,
    as_json: bool,
) -> None:
    """Verify a receipt offline: no registry, no data directory, only the verifier key."""
    with _blaming(file):
        proven = prove(parse_receipt(file.read_bytes()), key, witnesses)
    if state is not None:
        with _blaming(state):
            check_state(proven.entry, state.read_bytes())
        proven = msgspec.structs.replace(proven, state=state.read_bytes())
    with _blaming(state or file):
        published = published_file(proven, required=package is not None)
    if package is not None:
        with _blaming(package), package.open("rb") as bytes_:
            check_file(published, hashlib.file_digest(bytes_, "sha256").hexdigest())
    click.echo(_json(proven) if as_json else _text(proven))
    if package is not None and not as_json:
        click.echo(f"`{package}` is what was published")


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Say which of the files is the bad one."""
    try:
        yield
    except BadReceipt as error:
        raise click.ClickException(f"`{file}`: {error}") from error


def _json(proven: Proven) -> str:
    found = {
        "log": proven.checkpoint.origin,
        "size": proven.checkpoint.size,
        "entry": proven.entry,
        "state": msgspec.Raw(proven.state or b"null"),
    }
    return msgspec.json.encode(found).decode()


def _text(proven: Proven) -> str:
    entry, checkpoint = proven.entry, proven.checkpoint
    lines = [
        f"verified: in the log {checkpoint.origin}, which had {checkpoint.size} entries:",
        f"  position  {entry.position}",
        f"  event     {entry.type}",
        f"  time      {entry.time}",
        f"  actor     {entry.actor or '(operator)'}",
        f"  state     sha256 {entry.state}",
    ]
    return "\n".join([*lines, *(f"  {line}" for line in _about(proven.state))])


def _about(state: bytes) -> list[str]:
    """Return what a package's event says of itself, as far as a line has room for it."""
    fields = ("name", "version", "cksum", "tarball", "integrity")
    said = msgspec.json.decode(state) if state else {}
    return [f"{field:<9} {said[field]}" for field in fields if field in said]
