"""What a caller may not see does not exist for them, in every command alike.

A command that decides on the state as its caller sees it answers the same for a hidden package as
for an absent one. Only a publish would make an absent one: it is refused before anything is said.
"""

from typing import TypeVar

from packledger.domain.accounts.caller import Caller
from packledger.domain.cargo.crate import Crate
from packledger.domain.errors import NotAllowed
from packledger.domain.npm.package import NpmPackage

State = TypeVar("State", Crate, NpmPackage)


def seen(caller: Caller, ecosystem: str, name: str, state: State | None) -> State | None:
    """Return a package's state, None if it is not there as far as the caller is concerned.

    name: as it was asked for. Asked about an absent package, too: a policy that cannot be asked
    must not tell by that which ones are there.
    """
    return state if caller.sees(ecosystem, state.name if state else name) else None


def check_may_use_name(
    caller: Caller, ecosystem: str, name: str, state: Crate | NpmPackage | None
) -> None:
    """Refuse to publish under a name that the caller may not see, whether or not it is taken.

    Raises:
        NotAllowed: the caller may see neither a package of this name nor one that it collides with.
    """
    names = {name, state.name} if state else {name}
    if caller.seen(ecosystem, names) != names:
        raise NotAllowed(f"`{caller.known.account}` may not publish `{name}` in this registry")
