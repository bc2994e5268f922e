"""What others ask the `accounts` read model: who there is, and whose a secret is."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from packledger.domain.accounts.permissions import SESSION, Identity


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
    cidr: list[str]

    def identity(self) -> Identity:
        """Return who acts with it."""
        return Identity(
            account=self.account,
            admin=self.role == "admin",
            token=self.token_id,
            read_only=self.read_only,
            scopes=tuple(self.scopes),
            packages=tuple(self.packages),
            expires=self.expires,
            cidr=tuple(self.cidr),
        )


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that is signed in, and its account. expires: RFC 3339."""

    session_id: str
    account: str
    role: str
    created: str
    expires: str

    def identity(self) -> Identity:
        """Return who looks with it."""
        return Identity(
            account=self.account,
            admin=self.role == "admin",
            token=self.session_id,
            expires=self.expires,
            kind=SESSION,
        )


Row = TypeVar("Row")


@dataclass(frozen=True)
class _Rows(Generic[Row]):
    """What is asked of one kind of rows. of: makes one of its columns."""

    select: str
    of: Callable[[tuple[Any, ...]], Row]

    def one(self, db: sqlite3.Connection, where: str, value: str) -> Row | None:
        row = db.execute(f"{self.select} WHERE {where}", (value,)).fetchone()
        return self.of(row) if row else None

    def all(self, db: sqlite3.Connection, rest: str, *values: str) -> list[Row]:
        return [self.of(row) for row in db.execute(f"{self.select} {rest}", values)]


_TOKENS = _Rows(
    "SELECT token_id, account, role, label, read_only, scopes, packages, tokens.created, expires,"
    " cidr FROM tokens JOIN accounts ON accounts.name = tokens.account",
    lambda row: TokenRow(
        token_id=row[0],
        account=row[1],
        role=row[2],
        label=row[3],
        read_only=bool(row[4]),
        scopes=msgspec.json.decode(row[5], type=list[str]),
        packages=msgspec.json.decode(row[6], type=list[str]),
        created=row[7],
        expires=row[8],
        cidr=msgspec.json.decode(row[9], type=list[str]),
    ),
)
_SESSIONS = _Rows(
    "SELECT session_id, account, role, sessions.created, expires"
    " FROM sessions JOIN accounts ON accounts.name = sessions.account",
    lambda row: SessionRow(
        session_id=row[0], account=row[1], role=row[2], created=row[3], expires=row[4]
    ),
)
_ACCOUNTS = _Rows(
    "SELECT number, name, role, created, disabled FROM accounts",
    lambda row: AccountRow(
        number=row[0], name=row[1], role=row[2], created=row[3], disabled=bool(row[4])
    ),
)


def token_of(db: sqlite3.Connection, sha256: str) -> TokenRow | None:
    """Return the live token whose secret has this SHA-256 (hex). Its expiry is not looked at."""
    return _TOKENS.one(db, "sha256 = ?", sha256)


def token_by_id(db: sqlite3.Connection, token_id: str) -> TokenRow | None:
    """Return the live token with this public id."""
    return _TOKENS.one(db, "token_id = ?", token_id)


def tokens_of(db: sqlite3.Connection, account: str) -> list[TokenRow]:
    """Return an account's live tokens, oldest first."""
    return _TOKENS.all(db, "WHERE account = ? ORDER BY tokens.created, token_id", account)


def session_of(db: sqlite3.Connection, sha256: str) -> SessionRow | None:
    """Return the session whose secret has this SHA-256 (hex). Its expiry is not looked at."""
    return _SESSIONS.one(db, "sha256 = ?", sha256)


def sessions_of(db: sqlite3.Connection, account: str) -> list[SessionRow]:
    """Return an account's sessions, oldest first; some may be over."""
    return _SESSIONS.all(db, "WHERE account = ? ORDER BY sessions.created, session_id", account)


def account_of(db: sqlite3.Connection, name: str) -> AccountRow | None:
    """Return the account of that name, in any case of letters."""
    return _ACCOUNTS.one(db, "name = ?", name)


def all_accounts(db: sqlite3.Connection) -> list[AccountRow]:
    """Return every account, by name."""
    return _ACCOUNTS.all(db, "ORDER BY name")
