"""Changing one owner of an npm package, as pnpm does; npm sends a whole list, `npm_edits`."""

from collections.abc import Sequence

from packledger.commands.accounts import as_registered, check_accounts_exist
from packledger.commands.registry import Registry
from packledger.commands.sight import seen
from packledger.domain.accounts.actions import Action
from packledger.domain.accounts.caller import Caller
from packledger.domain.ecosystems import NPM
from packledger.domain.events.npm import NpmEvent, NpmOwnerAdded
from packledger.domain.npm import package as npm_package
from packledger.domain.npm.package import NpmPackage
from packledger.domain.ownership import check_owner, owners_to_remove
from packledger.domain.streams import PACKAGES


def change_owner(
    registry: Registry, caller: Caller, name: str, account: str, *, adding: bool
) -> None:
    """Make an account an owner, or no longer one; does nothing where it is one already.

    Raises:
        RegistryError: no such package, account or owner, no right to it, or nobody would remain.
    """
    caller.check_may(Action.CHANGE_OWNERS, NPM, name)
    (owner,) = as_registered(registry, [account])

    def decide(state: NpmPackage | None, _: int) -> Sequence[NpmEvent]:
        package = npm_package.existing(seen(caller, NPM, name, state), name)
        check_owner(package.owners, caller.actor, name)
        leaving = [] if adding else owners_to_remove(package.owners, [owner], name)
        staying = [one for one in package.owners if one not in leaving]
        wanted = [*staying, owner] if adding else staying
        events = npm_package.decide_owners(package, caller.actor, name, wanted)
        check_accounts_exist(
            registry, [event.owner for event in events if isinstance(event, NpmOwnerAdded)]
        )
        return events

    registry.execute(PACKAGES, name, decide)
