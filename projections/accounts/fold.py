"""Accounts, tokens and sessions: which secret belongs to whom, and what it may do."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from packledger.domain.events.accounts import (
    AccountDisabled,
    AccountEnabled,
    AccountPasswordChanged,
    AccountRegistered,
    AccountRoleChanged,
    SessionBegun,
    SessionEnded,
    TokenIssued,
    TokenRevoked,
)
from packledger.domain.events.event import Event
from packledger.feeds.feed import Recorded
from packledger.projections.sqlite_projection import SQLiteProjection

ACCOUNTS = "accounts"
_OF_ACCOUNTS: frozenset[type[Event]] = frozenset(
    {
        AccountRegistered,
        AccountRoleChanged,
        AccountDisabled,
        AccountEnabled,
        AccountPasswordChanged,
        TokenIssued,
        TokenRevoked,
        SessionBegun,
        SessionEnded,
    }
)


class Accounts(SQLiteProjection):
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
    concerns: frozenset[type[Event]] = _OF_ACCOUNTS

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
                case AccountEnabled(name=name):
                    db.execute("UPDATE accounts SET disabled = 0 WHERE name = ?", (name,))
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
