"""Who may change a crate or a package; the same rules for both ecosystems."""

from collections.abc import Collection, Iterable

from packledger.domain.accounts.actor import Actor
from packledger.domain.errors import LastOwner, NoSuchOwner, NotOwner


def check_owner(owners: Collection[str], actor: Actor, name: str) -> None:
    """Refuse an actor who neither owns `name` nor is an administrator.

    Raises:
        NotOwner: the actor is neither.
    """
    if actor.by not in owners and not actor.admin:
        raise NotOwner(actor.by, name)


def owners_to_add(owners: Collection[str], wanted: Iterable[str]) -> list[str]:
    """Return those of `wanted` that are no owners yet, each once, in order."""
    return [owner for owner in dict.fromkeys(wanted) if owner not in owners]


def owners_to_remove(owners: Collection[str], unwanted: Iterable[str], name: str) -> list[str]:
    """Return those of `unwanted` to remove, each once, in order.

    Raises:
        NoSuchOwner: one of them is not an owner.
        LastOwner: nobody would remain.
    """
    leaving = list(dict.fromkeys(unwanted))
    for owner in leaving:
        if owner not in owners:
            raise NoSuchOwner(owner, name)
    if leaving and len(leaving) == len(owners):
        raise LastOwner(name)
    return leaving
