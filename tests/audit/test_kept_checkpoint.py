"""A history that was rewritten with everything signed: seen by who has kept a checkpoint, alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest

from packledger.audit.translog.keys import LogKeys
from packledger.audit.translog.notes import new_key
from packledger.cli.main import main
from small_registry import PUBLIC_URL, memory_folder
from verified_registry import Verified

REWRITE = (
    "UPDATE stored_events SET state = CAST(replace(CAST(state AS TEXT), 'about', 'above') AS BLOB)"
)


@pytest.fixture
def verified() -> Iterator[Verified]:
    with memory_folder() as folder:
        yield Verified(folder / "data")


@pytest.fixture
def kept(verified: Verified) -> Path:
    file = verified.data.parent / "monday.checkpoint"
    ((note,),) = verified.rows("SELECT published FROM log_checkpoint")
    file.write_text(note)
    return file


def key_of(verified: Verified) -> str:
    return str(LogKeys(verified.data).all()[0].verifier)


def verify(verified: Verified, *options: str) -> tuple[int, str]:
    runner = click.testing.CliRunner(env={"PACKLEDGER_PUBLIC_URL": PUBLIC_URL})
    told = runner.invoke(main, ["verify", *options, "--data", str(verified.data)])
    return told.exit_code, told.output


def rewrite(verified: Verified) -> None:
    """Change what was published, and remove whatever remembers it."""
    verified.change(REWRITE)
    verified.change("DELETE FROM log_checkpoint")
    (verified.data / "log.signed").unlink()
    shutil.rmtree(verified.data / "read")


def test_a_log_that_goes_on_is_compared_with_the_kept_checkpoint(
    verified: Verified, kept: Path
) -> None:
    code, told = verify(verified, "--checkpoint", str(kept))
    assert code == 0, told
    assert "note: no witness" not in told
    assert "note: no witness" in verify(verified)[1]


def test_a_rewritten_history_is_not_that_of_the_kept_checkpoint(
    verified: Verified, kept: Path
) -> None:
    key = key_of(verified)
    rewrite(verified)
    code, told = verify(verified)
    assert code == 0, "nothing here remembers it, and verify says that"
    assert "note: nothing is signed" in told
    assert "note: no witness" in told
    code, told = verify(verified, "--checkpoint", str(kept), "--key", key)
    assert code == 1
    assert f"are not those of the kept checkpoint `{kept}`: the history was changed" in told
    code, told = verify(verified, "--checkpoint", str(kept))
    assert (code, "give the key that it was signed with" in told) == (1, True)


def test_a_checkpoint_of_another_key_and_none_at_all_are_faults(
    verified: Verified, kept: Path
) -> None:
    other = str(new_key(LogKeys(verified.data).all()[0].verifier.name).verifier)
    assert verify(verified, "--checkpoint", str(kept), "--key", other)[0] == 1
    kept.write_bytes(b"\xff rubbish")
    code, told = verify(verified, "--checkpoint", str(kept))
    assert (code, "is not valid" in told) == (1, True)
    assert verify(verified, "--checkpoint", str(kept), "--since", "3")[0] == 2
