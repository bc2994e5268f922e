"""Who asks: made once for each request and handed to every command, which checks it itself.

What a policy says was asked before, where waiting is no harm, or is asked for: `Unasked` names the
questions, and whoever runs the command asks them and runs it again. So no command waits for an
answer, and none goes on without one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from packledger.domain.accounts.actions import ALLOWED, Action, Package, Question, Verdict
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NotAllowed, NotAuthenticated


class Unasked(Exception):
    """The policy has not said yet what a command must know. Nothing was changed."""

    def __init__(self, questions: Iterable[Question]) -> None:
        self.questions = tuple(questions)
        super().__init__(f"not asked: {self.questions[:3]}")


class Verdicts(Protocol):
    """What a policy says to one caller."""

    def find(self, question: Question) -> Verdict | None:
        """Return the verdict, None while nobody has asked."""

    def renewed(self) -> "Verdicts":
        """Return those of another identity: none."""


class _NoPolicy:
    """There is nothing beside the registry's own rules."""

    def find(self, question: Question) -> Verdict | None:
        return ALLOWED

    def renewed(self) -> Verdicts:
        return self


NO_POLICY: Verdicts = _NoPolicy()


@dataclass(frozen=True)
class Caller:
    """identity: None for nobody; actor: stamps the events; address: the client's, if known."""

    identity: Identity | None
    actor: Actor
    address: str = ""
    verdicts: Verdicts = NO_POLICY

    @property
    def known(self) -> Identity:
        """The identity of somebody.

        Raises:
            NotAuthenticated: nobody asks.
        """
        if self.identity is None:
            raise NotAuthenticated("this needs a token; log in first, or pass one with the request")
        return self.identity

    @property
    def request(self) -> str:
        """The request's id."""
        return self.actor.request

    def proving(self, identity: Identity) -> "Caller":
        """Return the same caller with what else proves who it is: its events say the same."""
        return replace(self, identity=identity, verdicts=self.verdicts.renewed())

    def check_may(self, action: Action, ecosystem: str, name: str) -> None:
        """Refuse what neither the credential nor the policy allows.

        Raises:
            NotAuthenticated: nobody asks.
            NotAllowed: one of them says no.
            Unasked: the policy has not said yet.
        """
        self.known.check_may(action.scope, ecosystem, name)
        question = Question(action, Package(ecosystem, name))
        verdict = self._verdicts([question])[question]
        if not verdict.allowed:
            raise NotAllowed(
                verdict.because
                or f"`{self.known.account}` may not do this with `{name}` in this registry"
            )

    def sees(self, ecosystem: str, name: str) -> bool:
        """Return whether a package exists as far as this caller is concerned.

        Raises:
            Unasked: the policy has not said yet.
        """
        return name in self.seen(ecosystem, [name])

    def seen(self, ecosystem: str, names: Iterable[str]) -> frozenset[str]:
        """Return those of the names that exist as far as this caller is concerned.

        Raises:
            Unasked: the policy has not said yet, of all that are missing.
        """
        questions = [Question(Action.READ, Package(ecosystem, name)) for name in names]
        verdicts = self._verdicts(questions)
        return frozenset(one.package.name for one in questions if verdicts[one].allowed)

    def _verdicts(self, questions: list[Question]) -> dict[Question, Verdict]:
        found = {one: self.verdicts.find(one) for one in questions}
        known = {one: verdict for one, verdict in found.items() if verdict is not None}
        if len(known) < len(found):
            raise Unasked(one for one in found if one not in known)
        return known
