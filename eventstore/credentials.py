"""Password hashes, e-mail addresses, private keys: in the log's database and backup, not in it.

An immutable, replicated log must not hold what can be guessed offline or must one day be
forgotten. A credential is written before the event that needs it.
"""

import hashlib
import secrets

import argon2

from packledger.domain.accounts.account import canonical_account_name
from packledger.domain.errors import Invalid, Unavailable, WrongPassword
from packledger.eventstore.store import CredentialsTable

_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's minimum for argon2id: 19 MiB, two passes; about 20 ms.

Source: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

_NOBODY = _HASHER.hash(secrets.token_hex(16))
"""Verified for unknown accounts, so that an answer takes as long as for a known one."""


FORMS = "forms"
"""The name of the key of forms among those that sign; of those each is named by its digest."""


class Credentials:
    """One table of accounts, the one-time setup code, and keys: of npm versions, and of forms."""

    def __init__(self, table: CredentialsTable) -> None:
        self._table = table

    def set_password(self, account: str, password: str) -> None:
        """Store an account's password hash; its e-mail address stays as it is."""
        self._table.change(
            "INSERT INTO credentials VALUES (?, ?, '') ON CONFLICT (account)"
            " DO UPDATE SET password_hash = excluded.password_hash",
            canonical_account_name(account),
            _HASHER.hash(password),
        )

    def add(self, account: str, password: str, email: str = "") -> bool:
        """Store a new account's credentials unless it has some; return whether they were stored.

        Two registrations of one name race here, and only one of them may set the password. The
        salt tells our row from another's, even if the same password is chosen twice.

        Raises:
            Invalid: the e-mail address cannot be stored.
        """
        if "\0" in email:
            raise Invalid("the e-mail address contains the character NUL; correct it")
        statement = (
            "INSERT INTO credentials VALUES (?, ?, ?) ON CONFLICT (account)"
            " DO UPDATE SET email = excluded.email"
            " WHERE credentials.password_hash = excluded.password_hash"
        )
        key = canonical_account_name(account)
        return self._table.change(statement, key, _HASHER.hash(password), email) == 1

    def digest(self, account: str) -> str:
        """Return the SHA-256 of an account's stored password hash, empty if there is none.

        It tells nothing: to try a password against it, one needs the salt of 128 random bits, which
        is nowhere but in what it is the digest of.
        """
        row = self._row("password_hash", account)
        return hashlib.sha256(row[0].encode("utf-8", "surrogatepass")).hexdigest() if row else ""

    def email(self, account: str) -> str:
        """Return an account's e-mail address, empty when none is known."""
        row = self._row("email", account)
        return row[0] if row else ""

    def check_password(self, account: str, password: str) -> None:
        """Refuse a wrong password; takes about 20 ms, so not for the event loop.

        Raises:
            Unavailable: what is stored is no hash.
            WrongPassword: unknown account or wrong password; the sentence does not say which.
        """
        row = self._row("password_hash", account)
        try:
            _HASHER.verify(row[0] if row else _NOBODY, password)
        except argon2.exceptions.VerificationError as error:
            raise WrongPassword from error
        except (argon2.exceptions.InvalidHashError, UnicodeEncodeError) as error:
            raise Unavailable(
                f"the password of `{account}` is damaged in the registry; ask its operator to run "
                f"`packledger user password {account}`"
            ) from error
        if row is None:
            raise WrongPassword

    def _row(self, column: str, account: str) -> tuple[str, ...] | None:
        statement = f"SELECT {column} FROM credentials WHERE account = ?"  # noqa: S608 - our own
        return self._table.one(statement, canonical_account_name(account))

    def new_setup_code(self) -> str | None:
        """Replace the one-time setup code and return it, None once it has been used.

        Four groups of five letters and digits: 98 random bits.
        """
        alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
        code = "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))
        statement = (
            "INSERT INTO setup VALUES (1, ?) ON CONFLICT (id) DO UPDATE"
            " SET code_sha256 = excluded.code_sha256 WHERE setup.code_sha256 IS NOT NULL"
        )
        return code if self._table.change(statement, _digest(code)) == 1 else None

    def claim_setup(self, code: str, account: str) -> bool:
        """Bind the setup code to one account; return whether it was the right code.

        It is used up by `end_setup` alone, once the administrator's event is appended: who dies in
        between can repeat the claim, or start the registry again for another code.
        """
        digest = _digest(code)
        bound = f"{digest} {canonical_account_name(account)}"
        statement = "UPDATE setup SET code_sha256 = ? WHERE code_sha256 IN (?, ?)"
        return self._table.change(statement, bound, digest, bound) == 1

    def end_setup(self) -> None:
        """Use the setup code up without knowing it: there is an administrator now."""
        self._table.change(
            "INSERT INTO setup VALUES (1, NULL) ON CONFLICT (id) DO UPDATE SET code_sha256 = NULL"
        )

    def setup_is_open(self) -> bool:
        """Return whether there is a setup code that makes somebody an administrator."""
        return self._table.one("SELECT 'open' FROM setup WHERE code_sha256 IS NOT NULL") is not None

    def add_signing_key(self, keyid: str, private_key: str) -> None:
        """Keep a private key, as text."""
        self._table.change(
            "INSERT INTO signing_keys VALUES (?, ?) ON CONFLICT DO NOTHING", keyid, private_key
        )

    def form_key(self) -> str:
        """Return the secret that proves our own forms, the same in every process of every node.

        Made when it is first asked for.
        """
        found = self.signing_key(FORMS)
        if found is None:
            self.add_signing_key(FORMS, secrets.token_urlsafe(32))
            found = self.signing_key(FORMS)  # another process may have been quicker
        assert found is not None, "it was stored"
        return found

    def signing_key(self, keyid: str) -> str | None:
        """Return a private key, None if it is not here."""
        row = self._table.one("SELECT private_key FROM signing_keys WHERE keyid = ?", keyid)
        return row[0] if row else None


def _digest(code: str) -> str:
    return hashlib.sha256(code.strip().lower().encode()).hexdigest()
