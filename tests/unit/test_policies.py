"""The chain of policies: who is asked what, how often, how many at once, and what silence means."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.api.access.hooks import PUBLISHES, WITHDRAWS, Hooks
from packledger.api.access.policy import AT_ONCE, BREATH, Policies, PolicySilent
from packledger.domain.accounts.actions import Action, Package, Question, Verdict
from packledger.domain.accounts.actor import Actor
from packledger.domain.accounts.caller import NO_POLICY, Caller, Unasked
from packledger.domain.accounts.permissions import SCOPES, Identity
from packledger.domain.errors import NotAllowed, NotAuthenticated

ACTIONS = st.sampled_from(Action)
PACKAGES = st.builds(Package, st.sampled_from(["cargo", "npm"]), st.sampled_from("abc"))
QUESTIONS = st.builds(Question, ACTIONS, PACKAGES)
UNTIMED = settings(deadline=None)
READ_A = Question(Action.READ, Package("npm", "a"))


class Recording:
    """Refuses what it is told to refuse."""

    def __init__(self, actions: set[Action], refused: set[Question]) -> None:
        self.actions, self._refused = frozenset(actions), refused
        self.asked: list[Question] = []

    async def decide(self, caller: Caller, action: Action, package: Package) -> Verdict:
        question = Question(action, package)
        self.asked.append(question)
        await asyncio.sleep(0)
        return Verdict(question not in self._refused)


class Doing:
    """Does what it is told, then allows."""

    actions = frozenset(Action)

    def __init__(self, do: Callable[[], Awaitable[object]]) -> None:
        self._do = do

    async def decide(self, caller: Caller, action: Action, package: Package) -> Verdict:
        await self._do()
        return Verdict(True)


def caller_of(policies: Policies, identity: Identity | None = None) -> Caller:
    who = Identity("alice", token="t") if identity is None else identity
    return Caller(who, Actor("", who.account), verdicts=policies.verdicts())


def may(caller: Caller, question: Question) -> bool:
    if question.action is Action.READ:
        return caller.sees(*question.package)
    try:
        caller.check_may(question.action, *question.package)
    except NotAllowed:
        return False
    return True


RULES = st.lists(
    st.builds(Recording, st.sets(ACTIONS, min_size=1), st.sets(QUESTIONS)), min_size=1, max_size=3
)


@UNTIMED
@given(chain=RULES, questions=st.lists(QUESTIONS, max_size=8))
def test_what_is_allowed_is_what_all_who_decide_about_it_allow(
    chain: list[Recording], questions: list[Question]
) -> None:
    policies = Policies(chain)
    caller = caller_of(policies)
    asyncio.run(policies.answer(caller, questions))
    for question in questions:
        refusing = [
            one for one in chain if question.action in one.actions and question in one._refused
        ]
        assert may(caller, question) is (not refusing)
    for one in chain:
        assert len(one.asked) == len(set(one.asked)), "each once in a request"
        assert {question.action for question in one.asked} <= one.actions


@UNTIMED
@given(chain=RULES, question=QUESTIONS)
def test_nobody_is_asked_after_a_refusal(chain: list[Recording], question: Question) -> None:
    policies = Policies(chain)
    asyncio.run(policies.answer(caller_of(policies), [question]))
    deciding = [one for one in chain if question.action in one.actions]
    refusals = [question in one._refused for one in deciding]
    asked = [bool(one.asked) for one in deciding]
    upto = refusals.index(True) + 1 if True in refusals else len(refusals)
    assert asked == [True] * upto + [False] * (len(refusals) - upto)


@UNTIMED
@given(question=QUESTIONS, scope=st.sampled_from(SCOPES))
def test_nobody_else_is_asked_what_the_credential_is_not_for(
    question: Question, scope: str
) -> None:
    other = Recording(set(Action), set())
    policies = Policies([other])
    caller = caller_of(policies, Identity("alice", token="t", scopes=(scope,)))
    asyncio.run(policies.answer(caller, [question]))
    assert bool(other.asked) is (question.action.scope in {"", scope})
    assert may(caller, question) is bool(other.asked)


@UNTIMED
@given(actions=st.sets(ACTIONS, min_size=1), question=QUESTIONS)
def test_a_command_stops_at_what_was_not_asked(actions: set[Action], question: Question) -> None:
    caller = caller_of(Policies([Recording(actions, set())]))
    if question.action not in actions:
        assert may(caller, question)
        return
    with pytest.raises(Unasked) as unasked:
        may(caller, question)
    assert unasked.value.questions == (question,)


def test_a_list_names_all_that_was_not_asked_at_once() -> None:
    policies = Policies([Recording({Action.READ}, {READ_A})])
    caller = caller_of(policies)
    with pytest.raises(Unasked) as unasked:
        caller.seen("npm", "abc")
    asyncio.run(policies.answer(caller, unasked.value.questions))
    assert caller.seen("npm", "abc") == {"b", "c"}


def test_without_policies_nothing_is_asked() -> None:
    policies = Hooks().chain()
    assert not policies.hides
    assert policies.verdicts() is NO_POLICY
    assert caller_of(policies).seen("npm", "abc") == {*"abc"}


def test_nobody_may_change_anything_whatever_a_policy_says() -> None:
    policies = Policies([Recording(set(Action), set())])
    nobody = Caller(None, Actor("", ""), verdicts=policies.verdicts())
    for action in set(Action) - {Action.READ}:
        question = Question(action, Package("npm", "a"))
        asyncio.run(policies.answer(nobody, [question]))
        with pytest.raises(NotAuthenticated):
            nobody.check_may(*question[:1], *question.package)
    asyncio.run(policies.answer(nobody, [READ_A]))
    assert nobody.sees("npm", "a")


def test_another_identity_is_asked_about_anew() -> None:
    policies = Policies([Recording({Action.READ}, set())])
    caller = caller_of(policies)
    asyncio.run(policies.answer(caller, [READ_A]))
    assert caller.sees("npm", "a")
    with pytest.raises(Unasked):
        caller.proving(Identity("bob")).sees("npm", "a")


@UNTIMED
@given(count=st.integers(2, 200))
def test_a_list_is_asked_about_a_few_at_a_time(count: int) -> None:
    now, most = 0, 0

    async def wait() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    policies = Policies([Doing(wait)])
    packages = [Package("npm", str(number)) for number in range(count)]
    assert asyncio.run(policies.seen(caller_of(policies), packages)) == {*packages}
    assert most == min(AT_ONCE, count)


@pytest.mark.parametrize("count", [1, 40])
def test_who_does_not_answer_in_time_has_not_allowed_it(count: int) -> None:
    policies = Policies([Doing(asyncio.Event().wait)], timeout_s=0.05)
    caller = caller_of(policies)
    packages = [Package("npm", str(number)) for number in range(count)]
    with pytest.raises(PolicySilent):
        asyncio.run(policies.seen(caller, packages))
    with pytest.raises(Unasked):
        caller.sees("npm", "0")


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError(), ValueError("a defect")])
@pytest.mark.parametrize("count", [1, 40])
def test_who_fails_has_not_allowed_it(error: Exception, count: int) -> None:
    async def fail() -> None:
        raise error

    policies = Policies([Doing(fail)])
    packages = [Package("npm", str(number)) for number in range(count)]
    with pytest.raises(PolicySilent) as silent:
        asyncio.run(policies.seen(caller_of(policies), packages))
    assert "gone" not in str(silent.value), "the reason is the operator's"


def test_who_refuses_by_an_error_gives_its_sentence() -> None:
    async def refuse() -> None:
        raise NotAllowed("not on Fridays")

    policies = Policies([Doing(refuse)])
    caller = caller_of(policies)
    asyncio.run(policies.answer(caller, [Question(Action.YANK, READ_A.package)]))
    with pytest.raises(NotAllowed, match="not on Fridays"):
        caller.check_may(Action.YANK, "npm", "a")


@pytest.mark.parametrize("is_async", [False, True])
def test_hooks_decide_about_their_own_actions(is_async: bool) -> None:
    def no(identity: Identity | None, ecosystem: str, name: str) -> bool:
        return False

    async def later_no(identity: Identity | None, ecosystem: str, name: str) -> bool:
        await asyncio.sleep(0)
        return False

    hook = later_no if is_async else no
    for hooks, refused in (
        (Hooks(access=hook), {Action.READ}),
        (Hooks(publish=hook), PUBLISHES),
        (Hooks(unpublish=hook), WITHDRAWS),
    ):
        policies = hooks.chain()
        caller = caller_of(policies)
        questions = [Question(action, READ_A.package) for action in Action]
        asyncio.run(policies.answer(caller, questions))
        assert {one.action for one in questions if not may(caller, one)} == refused


def test_a_function_that_answers_at_once_leaves_turns_to_others() -> None:
    """A long list is not one step of the event loop."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def ask() -> None:
        policies = Hooks(access=lambda identity, ecosystem, name: True).chain()
        beside = asyncio.create_task(others())
        packages = [Package("npm", str(number)) for number in range(1_000)]
        assert len(await policies.seen(caller_of(policies), packages)) == 1_000
        beside.cancel()

    asyncio.run(ask())
    assert turns >= 1_000 // (AT_ONCE * BREATH)
