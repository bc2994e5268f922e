"""Compare what is stored of passwords with what the log says of them (ADR 0044)."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from packledger.audit.checks.faults import Fault
from packledger.audit.checks.rules import Registered, Rules
from packledger.eventstore.credentials import Credentials
from packledger.eventstore.log import Log, recorded_of

CHANGING_S = 2.0
"""How long a password that is changed just now may be ahead of its event."""
POLL_S = 0.05
SETUP = Fault(
    "the one-time setup code is open, though there is an administrator: whoever knows it becomes "
    "another one",
    "who may administer the registry",
    "run `packledger user add NAME --admin` for a new account, which ends it",
)


def verify_credentials(rules: Rules, credentials: Credentials, log: Log) -> Iterator[Fault]:
    """Yield the accounts whose password is not the one that the log names."""
    for name, known in rules.accounts.items():
        if known.credential and not _fits(name, known, credentials, log):
            yield Fault(
                f"the password of `{name}` is not the one that the log names: it was replaced in "
                "the database, or whoever changed it died before it was recorded",
                f"who may log in as `{name}`",
                f"packledger user password {name}",
            )
    if rules.set_up and credentials.setup_is_open():
        yield SETUP


def without_digest(rules: Rules) -> list[str]:
    """Return a note about accounts of which the log says nothing, none if there are none."""
    names = [name for name, known in rules.accounts.items() if not known.credential]
    if not names:
        return []
    return [
        f"the log has no digest of the passwords of {len(names)} accounts, such as `{names[0]}`: "
        "nobody can tell whether they were replaced; a password that is set anew has one"
    ]


def _fits(name: str, known: Registered, credentials: Credentials, log: Log) -> bool:
    deadline_s = time.monotonic() + CHANGING_S
    credential = known.credential
    while credentials.digest(name) != credential:
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
        credential = _newest(known.stream, log)
    return True


def _newest(stream: str, log: Log) -> str:
    """Return the digest that an account's last event with one has, by now."""
    events: list[Any] = [recorded_of(row).event for row in log.rows_of_stream(UUID(stream))]
    found = [getattr(event, "credential", "") for event in events]
    return str(next(filter(None, reversed(found)), ""))
