"""What every store must do for passwords, e-mail addresses and the setup code."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from event_stores import STORES, execute_sql, new_place, open_log, open_store
from packledger.domain.errors import Invalid, Unavailable, WrongPassword
from packledger.eventstore.credentials import Credentials

Open = Callable[[], Credentials]


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    with new_place(str(request.param), request) as place:
        yield place


@pytest.fixture
def open_credentials(place: str) -> Iterator[Open]:
    """Open the same credentials again and again, as so many processes would."""
    opened = []

    def open_one() -> Credentials:
        opened.append(open_store(place))
        return Credentials(opened[-1].credentials())

    yield open_one
    for store in opened:
        store.close()


def accepts(credentials: Credentials, account: str, password: str) -> bool:
    try:
        credentials.check_password(account, password)
    except WrongPassword:
        return False
    return True


def test_a_password_is_accepted_and_no_other(open_credentials: Open) -> None:
    assert open_credentials().add("alice", "correct horse", "alice@example.com")
    for credentials in (open_credentials(), open_credentials()):
        assert accepts(credentials, "alice", "correct horse")
        assert not accepts(credentials, "alice", "correct horsE")
        assert not accepts(credentials, "bob", "correct horse")
        assert credentials.email("alice") == "alice@example.com"
        assert credentials.email("bob") == ""


@pytest.mark.parametrize("damaged", ["", "no hash", "é$argon2id$"])
def test_a_hash_that_is_none_is_said_to_be_damaged(
    open_credentials: Open, place: str, damaged: str
) -> None:
    credentials = open_credentials()
    assert credentials.add("alice", "correct horse")
    execute_sql(place, "UPDATE credentials SET password_hash = ?", damaged)
    with pytest.raises(Unavailable, match="packledger user password alice"):
        credentials.check_password("alice", "correct horse")


@pytest.mark.parametrize("account", ["", "\0", "a\0lice", "é☃", "%s", "?", "'; DROP TABLE setup;"])
def test_no_name_does_more_than_be_unknown(open_credentials: Open, account: str) -> None:
    credentials = open_credentials()
    assert not accepts(credentials, account, "x")
    assert not accepts(credentials, "alice", account)
    assert credentials.email(account) == ""


def test_who_comes_second_keeps_out(open_credentials: Open) -> None:
    assert open_credentials().add("alice", "first", "first@example.com")
    assert not open_credentials().add("alice", "second", "second@example.com")
    assert not open_credentials().add("alice", "first", "third@example.com")
    credentials = open_credentials()
    assert accepts(credentials, "alice", "first")
    assert not accepts(credentials, "alice", "second")
    assert credentials.email("alice") == "first@example.com"


def test_an_address_that_one_store_cannot_keep_is_refused_by_all(open_credentials: Open) -> None:
    with pytest.raises(Invalid, match="NUL"):
        open_credentials().add("alice", "correct horse", "alice@\0example.com")
    assert not accepts(open_credentials(), "alice", "correct horse")


def test_one_of_many_that_register_a_name_at_once_sets_its_password(open_credentials: Open) -> None:
    won: list[int] = []
    barrier = threading.Barrier(5)

    def register(number: int) -> None:
        credentials = open_credentials()
        barrier.wait()
        if credentials.add("alice", f"password {number}"):
            won.append(number)

    threads = [threading.Thread(target=register, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    right = [
        number for number in range(5) if accepts(open_credentials(), "alice", f"password {number}")
    ]
    assert right == won


def test_an_addition_that_is_repeated_says_the_same(place: str, open_credentials: Open) -> None:
    # A store repeats a statement whose answer was lost.
    with closing(open_store(place)) as store:
        table = store.credentials()

        class Twice:
            one = table.one

            def change(self, statement: str, *values: str) -> int:
                table.change(statement, *values)
                return table.change(statement, *values)

        credentials = Credentials(Twice())
        assert credentials.add("alice", "first")
        assert not credentials.add("alice", "second")
        credentials.set_password("alice", "third")
        code = credentials.new_setup_code()
        assert code is not None
        assert credentials.claim_setup(code, "alice")
        credentials.end_setup()
    assert accepts(open_credentials(), "alice", "third")
    assert open_credentials().new_setup_code() is None


def test_a_changed_password_replaces_the_old_one_and_keeps_the_address(
    open_credentials: Open,
) -> None:
    credentials = open_credentials()
    credentials.add("alice", "old", "alice@example.com")
    credentials.set_password("alice", "new")
    credentials.set_password("bob", "bobs")
    assert accepts(open_credentials(), "alice", "new")
    assert not accepts(open_credentials(), "alice", "old")
    assert accepts(open_credentials(), "bob", "bobs")
    assert open_credentials().email("alice") == "alice@example.com"


def test_the_newest_setup_code_is_claimed_by_one_account_until_it_is_used_up(
    open_credentials: Open,
) -> None:
    credentials = open_credentials()
    old, new = credentials.new_setup_code(), open_credentials().new_setup_code()
    assert old is not None
    assert new is not None
    assert not credentials.claim_setup(old, "alice")
    assert not credentials.claim_setup("", "alice")
    assert credentials.claim_setup(f" {new.upper()}\n", "alice")
    assert open_credentials().claim_setup(new, "alice"), "who died in between may repeat it"
    assert not open_credentials().claim_setup(new, "bob")
    open_credentials().end_setup()
    assert not credentials.claim_setup(new, "alice")
    assert credentials.new_setup_code() is None


def test_the_digest_of_a_password_is_that_of_what_is_stored(
    place: str, open_credentials: Open
) -> None:
    assert open_credentials().digest("alice") == ""
    open_credentials().add("alice", "correct horse")
    ((stored,),) = execute_sql(place, "SELECT password_hash FROM credentials")
    assert open_credentials().digest("alice") == hashlib.sha256(str(stored).encode()).hexdigest()


def test_a_setup_is_open_from_its_first_code_until_it_ends(open_credentials: Open) -> None:
    assert not open_credentials().setup_is_open()
    open_credentials().new_setup_code()
    assert open_credentials().setup_is_open()
    open_credentials().end_setup()
    assert not open_credentials().setup_is_open()


def test_a_setup_that_ended_before_it_began_stays_ended(open_credentials: Open) -> None:
    open_credentials().end_setup()
    open_credentials().end_setup()
    assert open_credentials().new_setup_code() is None


def test_private_keys_are_kept_by_their_id(open_credentials: Open) -> None:
    credentials = open_credentials()
    credentials.add_signing_key("SHA256:one", "key one")
    credentials.add_signing_key("SHA256:one", "another")
    credentials.add_signing_key("SHA256:two", "key two")
    assert open_credentials().signing_key("SHA256:one") == "key one"
    assert open_credentials().signing_key("SHA256:two") == "key two"
    assert open_credentials().signing_key("SHA256:three") is None


def test_no_password_and_no_code_is_stored_as_it_is(place: str, open_credentials: Open) -> None:
    credentials = open_credentials()
    credentials.add("alice", "correct horse")
    code = credentials.new_setup_code()
    stored = str(execute_sql(place, "SELECT * FROM credentials"))
    stored += str(execute_sql(place, "SELECT * FROM setup"))
    assert "$argon2id$" in stored
    assert "correct horse" not in stored
    assert code is not None
    assert code not in stored


def test_they_live_beside_the_log(place: str, open_credentials: Open) -> None:
    open_credentials().add("alice", "correct horse")
    with closing(open_log(place)) as log:
        assert log.last_position() == 0


def test_the_key_of_forms_is_one_for_all_processes(open_credentials: Open) -> None:
    keys: list[str] = []
    processes = [open_credentials() for _ in range(4)]
    threads = [
        threading.Thread(target=lambda one=one: keys.append(one.form_key())) for one in processes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 4
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 40
    assert open_credentials().form_key() == keys[0]


def test_an_account_is_found_by_any_case_of_its_name(open_credentials: Open) -> None:
    credentials = open_credentials()
    assert credentials.add("Alice", "correct horse", "alice@example.com")
    assert not credentials.add("alice", "another horse")
    for name in ("Alice", "ALICE", "alice"):
        assert accepts(open_credentials(), name, "correct horse")
        assert credentials.email(name) == "alice@example.com"
        assert credentials.digest(name) == credentials.digest("Alice") != ""
    credentials.set_password("aLICE", "another horse")
    assert accepts(credentials, "Alice", "another horse")
    assert not accepts(credentials, "\u212aate", "another horse")
