"""Accounts, tokens and sessions: register, set up, disable, issue, revoke, sign in and out.

A credential is written before the event that needs it, like a blob.
"""

from collections.abc import Sequence

from packledger.commands.registry import Registry
from packledger.domain.accounts import account
from packledger.domain.accounts.account import Account, canonical_account_name, check_account_name
from packledger.domain.accounts.actor import Actor
from packledger.domain.errors import Conflict, Invalid, NoSuchAccount, NotAuthenticated
from packledger.domain.events.accounts import AccountEvent
from packledger.domain.streams import ACCOUNTS, Decision
from packledger.projections.accounts.reads import AccountRow

MIN_PASSWORD = 8
MAX_PASSWORD = 1024


def register(
    registry: Registry, actor: Actor, name: str, password: str, role: str = "user", email: str = ""
) -> None:
    """Create an account.

    Raises:
        Invalid: a name, role or password that cannot be used.
        Conflict: the name is taken.
    """
    check_account_name(name)
    check_password_length(password)
    # Decided once without the event, so that a taken name keeps its password.
    account.decide_register(load(registry, name), actor, name, role)
    if not registry.credentials.add(name, password, email):
        _continue_registration(registry, name, password)
    execute(
        registry,
        name,
        lambda state, version: account.decide_register(
            state, actor, name, role, registry.credentials.digest(name)
        ),
    )
    if role == "admin":
        registry.credentials.end_setup()


def _continue_registration(registry: Registry, name: str, password: str) -> None:
    """Go on after a registration that died between its credential and its event.

    Only with the same password: it may as well be another one that runs right now.
    """
    try:
        registry.credentials.check_password(name, password)
    except NotAuthenticated as error:
        raise Conflict(f"the account name `{name}` is taken; choose another one") from error


def check_password_length(password: str) -> None:
    """Refuse a password that is too short to keep anybody out, or absurdly long.

    Raises:
        Invalid: not 8 to 1024 characters.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Invalid(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")


def claim_setup(registry: Registry, actor: Actor, code: str, name: str, password: str) -> None:
    """Create the first administrator with the one-time setup code.

    Raises:
        NotAuthenticated: not the code, or it was used.
        Invalid, Conflict: as `register`; the code stays valid.
    """
    check_account_name(name)
    check_password_length(password)
    account.decide_register(load(registry, name), actor, name, "admin")
    if not registry.credentials.claim_setup(code, name):
        raise NotAuthenticated(
            "this is not the setup code, or it was used; `packledger serve` prints it at its start"
        )
    register(registry, actor, name, password, role="admin")


def change_password(registry: Registry, actor: Actor, name: str, password: str) -> None:
    """Set another password; tokens stay valid, sessions end.

    Raises:
        NoSuchAccount: there is none.
        Invalid: a password that cannot be used.
    """
    check_password_length(password)
    account.existing(load(registry, name), name)
    registry.credentials.set_password(name, password)
    # Two who change it at once: whose event comes last has read what is stored then.
    execute(
        registry,
        name,
        lambda state, version: account.decide_password(
            state, actor, name, registry.credentials.digest(name)
        ),
    )


def disable(registry: Registry, actor: Actor, name: str) -> None:
    """Refuse an account and its tokens from now on.

    Raises:
        NoSuchAccount: there is none.
    """
    execute(registry, name, lambda state, version: account.decide_disable(state, actor, name))


def enable(registry: Registry, actor: Actor, name: str) -> bool:
    """Accept a disabled account again; return whether anything changed. Its tokens stay ended.

    Raises:
        NoSuchAccount: there is none.
    """
    return execute(registry, name, lambda state, version: account.decide_enable(state, actor, name))


def set_role(registry: Registry, actor: Actor, name: str, role: str) -> bool:
    """Make an account an administrator or an ordinary one; return whether anything changed.

    Raises:
        NoSuchAccount, Invalid: no such account or role.
    """
    changed = execute(
        registry, name, lambda state, version: account.decide_role(state, actor, name, role)
    )
    if role == "admin":
        registry.credentials.end_setup()
    return changed


def check_administrator_remains(accounts: Sequence[AccountRow], name: str) -> None:
    """Refuse to take the last administrator away. accounts: all that there are.

    Raises:
        Conflict: without this account nobody could administer the registry over HTTP.
    """
    admins = {
        canonical_account_name(one.name)
        for one in accounts
        if one.role == "admin" and not one.disabled
    }
    if admins == {canonical_account_name(name)}:
        raise Conflict(
            f"`{name}` is the last administrator; make another one first, or add `--yes`"
        )


def load(registry: Registry, name: str) -> Account | None:
    """Return an account, by any case of its name."""
    return registry.log.load(ACCOUNTS, name).state


def execute(registry: Registry, name: str, decide: Decision[Account, AccountEvent]) -> bool:
    """Decide and append to the stream of an account; return whether anything changed."""
    return registry.execute(ACCOUNTS, name, decide)


def as_registered(registry: Registry, names: Sequence[str]) -> list[str]:
    """Return the names as their accounts were registered; those of no account as they are."""
    found = [(name, load(registry, name)) for name in names]
    return [account.name if account else name for name, account in found]


def check_accounts_exist(registry: Registry, names: Sequence[str]) -> None:
    """Refuse owners that are no accounts.

    Raises:
        NoSuchAccount: one of them is not, or is disabled.
    """
    for name in names:
        state = load(registry, name)
        if state is None or state.disabled:
            raise NoSuchAccount(name)
