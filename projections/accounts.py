"""Accounts, tokens and sessions: which secret belongs to whom, and what it may do."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from packledger.domain.events import (
    AccountDisabled,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    SessionBegun,
    SessionEnded,
    TokenIssued,
    TokenRevoked,
)
from packledger.domain.permissions import SESSION, Identity
from packledger.feeds.feed import Recorded
from packledger.projections.board import ACCOUNTS

_OF_ACCOUNTS = frozenset(
    {
        AccountRegistered,
        AccountRoleChanged,
        AccountDisabled,
        AccountPasswordChanged,
        TokenIssued,
        TokenRevoked,
        SessionBegun,
        SessionEnded,
    }
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


class Accounts:
    """Folds accounts and tokens into rows."""

    name = ACCOUNTS
    schema = 3
    renderer = 1
    tables = """
        CREATE TABLE accounts (number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE COLLATE NOCASE,
            role TEXT NOT NULL, created TEXT NOT NULL, disabled INTEGER NOT NULL);
        CREATE TABLE tokens (sha256 TEXT PRIMARY KEY, token_id TEXT NOT NULL UNIQUE,
            account TEXT NOT NULL COLLATE NOCASE, label TEXT NOT NULL, read_only INTEGER NOT NULL,
            scopes TEXT NOT NULL, packages TEXT NOT NULL, created TEXT NOT NULL,
            expires TEXT NOT NULL, cidr TEXT NOT NULL);
        CREATE INDEX tokens_by_account ON tokens (account);
        CREATE TABLE sessions (sha256 TEXT PRIMARY KEY, session_id TEXT NOT NULL UNIQUE,
            account TEXT NOT NULL COLLATE NOCASE, created TEXT NOT NULL, expires TEXT NOT NULL);
        CREATE INDEX sessions_by_account ON sessions (account)
    """
    indexes = ""

    def apply(  # noqa: C901 - one case an event
        self, db: sqlite3.Connection, page: Sequence[Recorded]
    ) -> None:
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
                    db.execute("DELETE FROM sessions WHERE account = ?", (name,))
                case AccountPasswordChanged(name=name):
                    db.execute("DELETE FROM sessions WHERE account = ?", (name,))
                case TokenIssued() as issued:
                    _issue(db, issued)
                case TokenRevoked(token_id=token_id):
                    db.execute("DELETE FROM tokens WHERE token_id = ?", (token_id,))
                case SessionBegun() as begun:
                    _begin(db, begun)
                case SessionEnded(session_id=session_id):
                    db.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))

    def flush(self, db: sqlite3.Connection) -> None:
        """Do nothing: rows are written at once."""

    spill = flush

    def kept(self) -> int:
        """Return 0: rows are written at once."""
        return 0

    def forget(self) -> None:
        """Do nothing: nothing is kept."""

    def documents(self, db: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
        """Yield every account, every token and every session."""
        for row in db.execute(
            "SELECT name, number, role, created, disabled FROM accounts ORDER BY 1"
        ):
            yield f"account {row[0]}", repr(row).encode()
        for row in db.execute("SELECT * FROM tokens ORDER BY token_id"):
            yield f"token {row[1]}", repr(row).encode()
        for row in db.execute("SELECT * FROM sessions ORDER BY session_id"):
            yield f"session {row[1]}", repr(row).encode()


def _begin(db: sqlite3.Connection, begun: SessionBegun) -> None:
    # As `domain.account.evolve`: those that are over leave when another one begins.
    over = (begun.name, begun.at)
    db.execute("DELETE FROM sessions WHERE account = ? AND expires <= ?", over)
    row = (begun.sha256, begun.session_id, begun.name, begun.at, begun.expires)
    db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?)", row)


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
        msgspec.json.encode(issued.cidr or ()).decode(),
    )
    db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


_SELECT_LIVE = (
    "SELECT token_id, account, role, label, read_only, scopes, packages, tokens.created, expires,"
    " cidr"
    " FROM tokens JOIN accounts ON accounts.name = tokens.account WHERE "
)


def _token_row(row: tuple[str, str, str, str, int, str, str, str, str, str]) -> TokenRow:
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
        cidr=msgspec.json.decode(row[9], type=list[str]),
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


_SELECT_SESSION = (
    "SELECT session_id, account, role, sessions.created, expires"
    " FROM sessions JOIN accounts ON accounts.name = sessions.account WHERE "
)


def _session_row(row: tuple[str, str, str, str, str]) -> SessionRow:
    return SessionRow(
        session_id=row[0], account=row[1], role=row[2], created=row[3], expires=row[4]
    )


def session_of(db: sqlite3.Connection, sha256: str) -> SessionRow | None:
    """Return the session whose secret has this SHA-256 (hex). Its expiry is not looked at."""
    row = db.execute(_SELECT_SESSION + "sha256 = ?", (sha256,)).fetchone()
    return _session_row(row) if row else None


def sessions_of(db: sqlite3.Connection, account: str) -> list[SessionRow]:
    """Return an account's sessions, oldest first; some may be over."""
    rows = db.execute(_SELECT_SESSION + "account = ? ORDER BY sessions.created, 1", (account,))
    return [_session_row(row) for row in rows]


_SELECT_ACCOUNT = "SELECT number, name, role, created, disabled FROM accounts"


def _account_row(row: tuple[int, str, str, str, int]) -> AccountRow:
    return AccountRow(
        number=row[0], name=row[1], role=row[2], created=row[3], disabled=bool(row[4])
    )


def account_of(db: sqlite3.Connection, name: str) -> AccountRow | None:
    """Return the account of that name, in any case of letters."""
    row = db.execute(f"{_SELECT_ACCOUNT} WHERE name = ?", (name,)).fetchone()
    return _account_row(row) if row else None


def all_accounts(db: sqlite3.Connection) -> list[AccountRow]:
    """Return every account, by name."""
    return [_account_row(row) for row in db.execute(f"{_SELECT_ACCOUNT} ORDER BY name")]
