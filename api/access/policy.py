"""What may be done to which package by whom: a chain of policies, asked here and nowhere else.

All must allow it; the first that refuses is the answer. The registry's own rules come first, so
that nobody else is asked about what they refuse. Ownership is not among them: it is part of a
package's state, and is decided in the command, at the version at which it appends.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from packledger.domain.accounts.actions import ALLOWED, Action, Package, Question, Verdict
from packledger.domain.accounts.caller import NO_POLICY, Caller, Verdicts
from packledger.domain.errors import NotAllowed, NotAuthenticated, Unavailable

log = logging.getLogger("packledger.access")
Result = TypeVar("Result")

TIMEOUT_S = 5.0
"""For one question, and for all that filter one list: npm waits longer, cargo 30 s."""
AT_ONCE = 16
"""Questions about one list."""
BREATH = 5
"""Answers to each of these after which the event loop turns to others: most come at once."""


class Policy(Protocol):
    """Decides about some actions. It may take its time: nothing but its own request waits."""

    @property
    def actions(self) -> frozenset[Action]:
        """About which it is asked."""

    async def decide(self, caller: Caller, action: Action, package: Package) -> Verdict:
        """Return whether the caller may do this; an error, or no answer in time, means no."""


class PolicySilent(Unavailable):
    """A policy has failed or has not answered in time."""


class OwnRules:
    """What a credential is good for: its scopes, its packages, whether it may write."""

    actions = frozenset(Action) - {Action.READ}

    async def decide(self, caller: Caller, action: Action, package: Package) -> Verdict:
        """Return whether the credential is for this."""
        try:
            caller.known.check_may(action.scope, *package)
        except (NotAllowed, NotAuthenticated) as refusal:
            return Verdict(False, refusal.sentence)
        return ALLOWED


class _Asked:
    """The verdicts of one request. actions: about which anybody is asked."""

    def __init__(self, actions: frozenset[Action]) -> None:
        self._actions = actions
        self.found: dict[Question, Verdict] = {}

    def find(self, question: Question) -> Verdict | None:
        return self.found.get(question) if question.action in self._actions else ALLOWED

    def renewed(self) -> Verdicts:
        return _Asked(self._actions)


class Policies:
    """The chain. others: beside the registry's own rules; timeout_s: until no answer means no."""

    def __init__(self, others: Sequence[Policy] = (), timeout_s: float = TIMEOUT_S) -> None:
        self._chain: tuple[Policy, ...] = (OwnRules(), *others)
        self._asked = frozenset(action for one in others for action in one.actions)
        self._timeout_s = timeout_s

    @property
    def hides(self) -> bool:
        """Whether there may be packages that not everybody sees."""
        return Action.READ in self._asked

    def verdicts(self) -> Verdicts:
        """Return what a new caller knows of us."""
        return _Asked(self._asked) if self._asked else NO_POLICY

    async def answer(self, caller: Caller, questions: Iterable[Question]) -> None:
        """Ask what a caller does not know yet, several at once, each once in a request.

        Raises:
            PolicySilent: somebody failed, or did not answer in time.
        """
        open_ = [one for one in dict.fromkeys(questions) if caller.verdicts.find(one) is None]
        if not open_:
            return
        assert isinstance(caller.verdicts, _Asked), "the caller is one of ours"
        found = caller.verdicts.found
        waiting = iter(open_)
        try:
            async with asyncio.timeout(self._timeout_s):
                if len(open_) == 1:
                    found[open_[0]] = await self._decide(caller, open_[0])
                    return
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(AT_ONCE, len(open_))):
                        group.create_task(self._answer_some(caller, waiting, found))
        except TimeoutError:
            raise _silent(caller, f"has not answered within {self._timeout_s:g} s") from None
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _answer_some(
        self, caller: Caller, waiting: Iterator[Question], found: dict[Question, Verdict]
    ) -> None:
        for number, question in enumerate(waiting, 1):
            found[question] = await self._decide(caller, question)
            if number % BREATH == 0:
                await asyncio.sleep(0)

    async def _decide(self, caller: Caller, question: Question) -> Verdict:
        """The one place where policies are asked."""
        for policy in self._chain:
            if question.action not in policy.actions:
                continue
            try:
                verdict = await policy.decide(caller, *question)
            except NotAllowed as refusal:
                return Verdict(False, refusal.sentence)
            except Exception as error:
                raise _silent(caller, f"failed: {error!r}") from error
            if not verdict.allowed:
                return verdict
        return ALLOWED

    async def seen(self, caller: Caller, packages: Iterable[Package]) -> frozenset[Package]:
        """Return those of a list of packages that exist as far as the caller is concerned.

        Raises:
            PolicySilent: as `answer`.
        """
        listed = [*packages]
        if not self.hides:
            return frozenset(listed)
        questions = [Question(Action.READ, one) for one in listed]
        await self.answer(caller, questions)
        found = ((one.package, caller.verdicts.find(one)) for one in questions)
        return frozenset(package for package, verdict in found if verdict and verdict.allowed)


def _silent(caller: Caller, what: str) -> PolicySilent:
    # The reason is for the operator, and which package it was about for nobody.
    log.error("a policy %s", what, extra={"request": caller.request})
    return PolicySilent("who may do this cannot be told just now; nothing was changed, try again")
