"""Accounts and tokens: which secret belongs to whom, and what it may do."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from packledger.domain.events import (
    AccountDisabled,
    AccountRegistered,
    AccountRoleChanged,
    TokenIssued,
    TokenRevoked,
)
from packledger.feeds.feed import Recorded
from packledger.projections.board import ACCOUNTS

_OF_ACCOUNTS = frozenset(
    {AccountRegistered, AccountRoleChanged, AccountDisabled, TokenIssued, TokenRevoked}
)


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account. number: 32-bit id that cargo wants, the same on every rebuild."""

    number: int
    name: str
    role: str
    created: str
    disabled: bool


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A live token and its account. expires: RFC 3339, empty for never."""

    token_id: str
    account: str
    role: str
    label: str
    read_only: bool
    scopes: list[str]
    packages: list[str]
    created: str
    expires: str


class Accounts:
    """Folds accounts and tokens into rows."""

    name = ACCOUNTS
    schema = 1
    renderer = 1
    tables = """
        CREATE TABLE accounts (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
            role TEXT NOT NULL, created TEXT NOT NULL, disabled INTEGER NOT NULL);
        CREATE TABLE tokens (sha256 TEXT PRIMARY KEY, token_id TEXT NOT NULL UNIQUE,
            account TEXT NOT NULL, label TEXT NOT NULL, read_only INTEGER NOT NULL,
            scopes TEXT NOT NULL, packages TEXT NOT NULL, created TEXT NOT NULL,
            expires TEXT NOT NULL);
        CREATE INDEX tokens_by_account ON tokens (account)
    """
    indexes = ""

    def apply(self, db: sqlite3.Connection, page: Sequence[Recorded]) -> None:
        """Fold a page of events."""
        # Hardly any is: five patterns that do not match cost ten times as much.
        for recorded in [one for one in page if type(one.event) in _OF_ACCOUNTS]:
            match recorded.event:
                case AccountRegistered(name=name, role=role, at=at):
                    # The position of the registration: unique, and the same on every rebuild.
                    row = (recorded.position, name, role, at, 0)
                    db.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?)", row)
                case AccountRoleChanged(name=name, role=role):
                    db.execute("UPDATE accounts SET role = ? WHERE name = ?", (role, name))
                case AccountDisabled(name=name):
                    db.execute("UPDATE accounts SET disabled = 1 WHERE name = ?", (name,))
                    db.execute("DELETE FROM tokens WHERE account = ?", (name,))
                case TokenIssued() as issued:
                    _issue(db, issued)
                case TokenRevoked(token_id=token_id):
                    db.execute("DELETE FROM tokens WHERE token_id = ?", (token_id,))

    def flush(self, db: sqlite3.Connection) -> None:
        """Do nothing: rows are written at once."""

    spill = flush

    def kept(self) -> int:
        """Return 0: rows are written at once."""
        return 0

    def forget(self) -> None:
        """Do nothing: nothing is kept."""

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield every account and every token."""
        for row in db.execute(
            "SELECT name, number, role, created, disabled FROM accounts ORDER BY 1"
        ):
            yield f"account {row[0]}", repr(row).encode()
        for row in db.execute("SELECT * FROM tokens ORDER BY token_id"):
            yield f"token {row[1]}", repr(row).encode()


def _issue(db: sqlite3.Connection, issued: TokenIssued) -> None:
    row = (
        issued.sha256,
        issued.token_id,
        issued.account,
        issued.label,
        issued.read_only,
        msgspec.json.encode(issued.scopes).decode(),
        msgspec.json.encode(issued.packages).decode(),
        issued.at,
        issued.expires,
    )
    db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


_SELECT_LIVE = (
    "SELECT token_id, account, role, label, read_only, scopes, packages, tokens.created, expires"
    " FROM tokens JOIN accounts ON accounts.name = tokens.account WHERE "
)


def _token_row(row: tuple[str, str, str, str, int, str, str, str, str]) -> TokenRow:
    return TokenRow(
        token_id=row[0],
        account=row[1],
        role=row[2],
        label=row[3],
        read_only=bool(row[4]),
        scopes=msgspec.json.decode(row[5], type=list[str]),
        packages=msgspec.json.decode(row[6], type=list[str]),
        created=row[7],
        expires=row[8],
    )


def token_of(db: sqlite3.Connection, sha256: str) -> TokenRow | None:
    """Return the live token whose secret has this SHA-256 (hex). Its expiry is not looked at."""
    row = db.execute(_SELECT_LIVE + "sha256 = ?", (sha256,)).fetchone()
    return _token_row(row) if row else None


def token_by_id(db: sqlite3.Connection, token_id: str) -> TokenRow | None:
    """Return the live token with this public id."""
    row = db.execute(_SELECT_LIVE + "token_id = ?", (token_id,)).fetchone()
    return _token_row(row) if row else None


def tokens_of(db: sqlite3.Connection, account: str) -> list[TokenRow]:
    """Return an account's live tokens, oldest first."""
    rows = db.execute(_SELECT_LIVE + "account = ? ORDER BY tokens.created, token_id", (account,))
    return [_token_row(row) for row in rows]


_SELECT_ACCOUNT = "SELECT number, name, role, created, disabled FROM accounts"


def _account_row(row: tuple[int, str, str, str, int]) -> AccountRow:
    return AccountRow(
        number=row[0], name=row[1], role=row[2], created=row[3], disabled=bool(row[4])
    )


def account_of(db: sqlite3.Connection, name: str) -> AccountRow | None:
    """Return the account of that name."""
    row = db.execute(f"{_SELECT_ACCOUNT} WHERE name = ?", (name,)).fetchone()
    return _account_row(row) if row else None


def all_accounts(db: sqlite3.Connection) -> list[AccountRow]:
    """Return every account, by name."""
    return [_account_row(row) for row in db.execute(f"{_SELECT_ACCOUNT} ORDER BY name")]
