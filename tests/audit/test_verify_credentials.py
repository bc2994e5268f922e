"""What is replaced beside the log leaves a trace: passwords, and the one-time setup code."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import argon2
import pytest

from packledger.commands import accounts
from packledger.domain.events.accounts import AccountPasswordChanged, AccountRegistered
from packledger.domain.streams import ACCOUNTS
from packledger.eventstore.credentials import Credentials
from packledger.eventstore.log import Log
from small_registry import SmallRegistry, memory_folder
from verified_registry import Verified

PASSWORD = "a good password"


@pytest.fixture
def verified() -> Iterator[Verified]:
    """With two accounts, one of which has changed its password."""
    with memory_folder() as folder:
        verified = Verified(folder)
        with closing(SmallRegistry(folder)) as small:
            small.registry.board.stop()
            for name, role in (("ann", "admin"), ("ben", "user")):
                accounts.register(small.registry, small.actor(name), name, PASSWORD, role)
            accounts.change_password(small.registry, small.actor("ben"), "ben", "another password")
            small.catch_up()
        yield verified


def stored(data: Path, name: str) -> str:
    with closing(sqlite3.connect(data / "events.sqlite")) as db:
        found = "SELECT password_hash FROM credentials WHERE account = ?"
        return str(db.execute(found, (name,)).fetchone()[0])


def test_the_log_has_the_digest_of_what_is_stored_and_nothing_to_guess_with(
    verified: Verified,
) -> None:
    with closing(SmallRegistry(verified.data)) as small:
        ann = [one for one in small.log.stream(ACCOUNTS, "ann")]
        ben = [one for one in small.log.stream(ACCOUNTS, "ben")]
    assert isinstance(ann[0], AccountRegistered)
    assert isinstance(ben[-1], AccountPasswordChanged)
    for event, name in ((ann[0], "ann"), (ben[-1], "ben")):
        whole = stored(verified.data, name)
        assert event.credential == hashlib.sha256(whole.encode()).hexdigest()
        salt = whole.split("$")[4]
        assert len(salt) == 22, "128 bits, in no event"
        assert salt not in str(verified.rows("SELECT state FROM stored_events"))


@pytest.mark.parametrize("name", ["ann", "ben"])
def test_a_replaced_password_is_one_fault(verified: Verified, name: str) -> None:
    report = verified.verify()
    assert report.faults == []
    assert not any("digest" in note for note in report.notes)
    evil = argon2.PasswordHasher().hash("known to somebody else")
    verified.change(f"UPDATE credentials SET password_hash = '{evil}' WHERE account = '{name}'")
    (fault,) = verified.verify().faults
    assert fault.what.startswith(f"the password of `{name}` is not the one that the log names")
    assert fault.mend == f"packledger user password {name}"
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()
        accounts.change_password(small.registry, small.actor(""), name, "a third password")
        small.catch_up()
    assert verified.whats() == []


def test_a_removed_password_and_one_of_another_account_are_faults(verified: Verified) -> None:
    anns = stored(verified.data, "ann")
    verified.change(f"UPDATE credentials SET password_hash = '{anns}' WHERE account = 'ben'")
    verified.change("DELETE FROM credentials WHERE account = 'ann'")
    assert len(verified.whats()) == 2


def test_an_account_from_before_there_were_digests_is_a_note(
    verified: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()
        with monkeypatch.context() as patch:
            patch.setattr(Credentials, "digest", lambda self, account: "")
            accounts.register(small.registry, small.actor("old"), "old", PASSWORD)
        small.catch_up()
    report = verified.verify()
    assert report.faults == []
    assert any("no digest of the passwords of 1 accounts, such as `old`" in n for n in report.notes)


def test_a_setup_code_beside_an_administrator_is_a_fault(verified: Verified) -> None:
    code = hashlib.sha256(b"mine").hexdigest()
    verified.change(f"UPDATE setup SET code_sha256 = '{code}'")
    (fault,) = verified.verify().faults
    assert "the one-time setup code is open" in fault.what


def test_two_who_change_one_password_at_once_leave_the_digest_of_the_last(
    verified: Verified, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Log.execute
    with closing(SmallRegistry(verified.data)) as small:
        small.registry.board.stop()

        def overtaken(self: Log, *command: object) -> object:
            with monkeypatch.context() as patch:
                patch.setattr(Log, "execute", execute)
                accounts.change_password(
                    small.registry, small.actor("ben"), "ben", "the other's password"
                )
            return execute(self, *command)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Log, "execute", overtaken)
            accounts.change_password(small.registry, small.actor("ben"), "ben", "my own password")
        small.catch_up()
    assert verified.whats() == []
