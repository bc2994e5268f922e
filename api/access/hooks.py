"""Where an embedding program decides: who a token is, and what that one may read and change.

Modelled on the hooks of registries that are built as libraries; `docs/EMBEDDING.md` has an example.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from packledger.api.access.policy import TIMEOUT_S, Policies, Policy
from packledger.api.access.providers import Bounded, Credential, Kind, Provider, Shown
from packledger.domain.accounts.actions import Action, Package, Verdict
from packledger.domain.accounts.caller import Caller
from packledger.domain.accounts.permissions import Identity

Authenticate = Callable[[str, str, str], Identity | Awaitable[Identity | None] | None]
"""Token, method, path → who it is; None when this hook does not know the token."""
Allow = Callable[[Identity | None, str, str], bool | Awaitable[bool]]
"""Identity (None: nobody), ecosystem (`cargo` or `npm`), package → may it?"""

PUBLISHES = frozenset({Action.PUBLISH_NEW, Action.PUBLISH_UPDATE})
WITHDRAWS = frozenset({Action.YANK, Action.DEPRECATE, Action.UNPUBLISH})


@dataclass(frozen=True)
class Hooks:
    """Each one is asked beside the registry's own rules, never instead of them; None asks nobody.

    access: whether a package exists for the caller, asked before everything that names one;
    publish: a version; unpublish: also yanking and deprecating. A hook is a function or a
    coroutine function; a function runs on the event loop and must be quick. policies: are told the
    action and everything about the caller, and are asked after the hooks. providers: know other
    credentials. policy_timeout_s: until no answer of any of them means no.
    """

    authenticate: Authenticate | None = None
    access: Allow | None = None
    publish: Allow | None = None
    unpublish: Allow | None = None
    policies: tuple[Policy, ...] = ()
    providers: tuple[Provider, ...] = ()
    policy_timeout_s: float = TIMEOUT_S

    def tokens(self) -> tuple[Provider, ...]:
        """Return who is asked about a token before the registry's own are looked for."""
        if self.authenticate is None:
            return ()
        return (Bounded(HookProvider(self.authenticate), self.policy_timeout_s),)

    def others(self) -> tuple[Provider, ...]:
        """Return who is asked about a credential that is none of the registry's tokens."""
        return tuple(Bounded(one, self.policy_timeout_s) for one in self.providers)

    def chain(self) -> Policies:
        """Return the policies, these hooks among them. One line for each kind there is."""
        return Policies((*self._hooked(), *self.policies), self.policy_timeout_s)

    def _hooked(self) -> Iterator[Policy]:
        if self.access is not None:
            yield HookPolicy(self.access, frozenset({Action.READ}))
        if self.publish is not None:
            yield HookPolicy(self.publish, PUBLISHES)
        if self.unpublish is not None:
            yield HookPolicy(self.unpublish, WITHDRAWS)


class HookProvider:
    """The hook `authenticate` as a provider; None means that it does not know the token."""

    kinds = frozenset({Kind.TOKEN})

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        """Ask the hook."""
        identity = self._authenticate(credential.secret, shown.method, shown.path)
        return await identity if inspect.isawaitable(identity) else identity


class HookPolicy:
    """A hook as a policy about some actions."""

    def __init__(self, allow: Allow, actions: frozenset[Action]) -> None:
        self._allow, self.actions = allow, actions

    async def decide(self, caller: Caller, action: Action, package: Package) -> Verdict:
        """Ask the hook."""
        allowed = self._allow(caller.identity, *package)
        return Verdict(bool(await allowed if inspect.isawaitable(allowed) else allowed))
