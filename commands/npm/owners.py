"""Changing one owner of an npm package, as pnpm does; npm sends a whole list, `npm_edits`."""

from collections.abc import Sequence

from packledger.commands.accounts import as_registered, check_accounts_exist
from packledger.commands.registry import Registry
from packledger.commands.sight import seen
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.permissions import Identity
from packledger.domain.ecosystems import NPM
from packledger.domain.events.npm import NpmEvent, NpmOwnerAdded
from packledger.domain.npm import package as npm_package
from packledger.domain.npm.package import NpmPackage
from packledger.domain.ownership import check_owner, owners_to_remove
from packledger.domain.streams import PACKAGES


def change_owner(
    registry: Registry, identity: Identity, actor: Actor, name: str, account: str, *, adding: bool
) -> None:
    """Make an account an owner, or no longer one; does nothing where it is one already.

    Raises:
        RegistryError: no such package, account or owner, no right to it, or nobody would remain.
    """
    identity.check_may("change-owners", NPM, name)
    (owner,) = as_registered(registry, [account])

    def decide(state: NpmPackage | None, _: int) -> Sequence[NpmEvent]:
        package = npm_package.existing(seen(identity, NPM, state), name)
        check_owner(package.owners, actor, name)
        leaving = [] if adding else owners_to_remove(package.owners, [owner], name)
        staying = [one for one in package.owners if one not in leaving]
        wanted = [*staying, owner] if adding else staying
        events = npm_package.decide_owners(package, actor, name, wanted)
        check_accounts_exist(
            registry, [event.owner for event in events if isinstance(event, NpmOwnerAdded)]
        )
        return events

    registry.execute(PACKAGES, name, decide)
