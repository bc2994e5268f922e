"""Where an embedding program decides: who a token is, and what that one may read and change.

Modelled on the hooks of registries that are built as libraries; `docs/EMBEDDING.md` has an example.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NotAllowed

Authenticate = Callable[[str, str, str], Identity | Awaitable[Identity | None] | None]
"""Token, method, path → who it is; None when this hook does not know the token."""
Allow = Callable[[Identity | None, str, str], bool]
"""Identity (None: nobody), ecosystem (`cargo` or `npm`), package → may it?"""


@dataclass(frozen=True)
class Hooks:
    """Each one is asked beside the registry's own rules, never instead of them; None asks nobody.

    access: whether a package exists for the caller, asked before everything that names one;
    publish: a version; unpublish: also yanking and deprecating. They run on the event loop or in a
    command's thread: they must be quick.
    """

    authenticate: Authenticate | None = None
    access: Allow | None = None
    publish: Allow | None = None
    unpublish: Allow | None = None

    async def identify(self, token: str, method: str, path: str) -> Identity | None:
        """Return who the embedding program says this token is."""
        if self.authenticate is None:
            return None
        identity = self.authenticate(token, method, path)
        return await identity if inspect.isawaitable(identity) else identity

    def may_read(self, identity: Identity | None, ecosystem: str, name: str) -> bool:
        """Return whether a package exists as far as this caller is concerned."""
        return self.access is None or self.access(identity, ecosystem, name)

    def guard(self, identity: Identity) -> Identity:
        """Return the identity with these hooks' word in everything it does."""
        if self.access is None and self.publish is None and self.unpublish is None:
            return identity
        return GuardedIdentity(**msgspec.structs.asdict(identity), hooks=self)


class GuardedIdentity(Identity, frozen=True, kw_only=True):
    """An identity whose every change is also asked of the hooks."""

    hooks: Hooks

    def may_see(self, ecosystem: str, name: str) -> bool:
        """Return whether a package exists as far as the access hook is concerned."""
        return self.hooks.may_read(self, ecosystem, name)

    def check_may(self, scope: str, ecosystem: str, name: str) -> None:
        """Refuse what the token is not for, and what the hooks refuse.

        Raises:
            NotAllowed: either says no.
        """
        super().check_may(scope, ecosystem, name)
        asked = self.hooks.publish if scope.startswith("publish") else None
        if scope == "yank":
            asked = self.hooks.unpublish
        if asked is not None and not asked(self, ecosystem, name):
            raise NotAllowed(f"`{self.account}` may not do this with `{name}` in this registry")
