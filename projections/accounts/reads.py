"""What others ask the `accounts` read model: who there is, and whose a secret is."""

import sqlite3

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
