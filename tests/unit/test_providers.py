"""The chain of identity providers: who is asked, whose word counts, and what silence means."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packledger.api.access.auth import credential_in
from packledger.api.access.providers import (
    Bounded,
    Credential,
    Kind,
    Providers,
    ProviderSilent,
    Shown,
)
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NotAllowed, NotAuthenticated

SHOWN = Shown("GET", "/npm/demo", "127.0.0.1")
MINE, REFUSED, NOT_MINE = "mine", "refused", "not mine"
UNTIMED = settings(deadline=None)


class Saying:
    """Says what it is told, whatever it is asked."""

    def __init__(self, number: int, kinds: set[Kind], says: str) -> None:
        self.number, self.kinds, self.says = number, frozenset(kinds), says
        self.asked: list[Credential] = []

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        self.asked.append(credential)
        if self.says == REFUSED:
            raise NotAuthenticated(f"refused by {self.number}")
        return Identity(f"of {self.number}") if self.says == MINE else None


CHAINS = st.lists(
    st.tuples(st.sets(st.sampled_from(Kind)), st.sampled_from([MINE, REFUSED, NOT_MINE])),
    max_size=5,
)


@UNTIMED
@given(chain=CHAINS, kind=st.sampled_from(Kind))
def test_the_first_that_claims_a_credential_decides(
    chain: list[tuple[set[Kind], str]], kind: Kind
) -> None:
    saying = [Saying(number, *one) for number, one in enumerate(chain)]
    credential = Credential(kind, "secret")
    claiming = [one for one in saying if kind in one.kinds and one.says != NOT_MINE]
    if claiming and claiming[0].says == MINE:
        identity = asyncio.run(Providers(saying).identify(credential, SHOWN))
        assert identity.account == f"of {claiming[0].number}"
    else:
        said = f"refused by {claiming[0].number}" if claiming else "the token is not valid"
        with pytest.raises(NotAuthenticated, match=said):
            asyncio.run(Providers(saying).identify(credential, SHOWN))
    last = claiming[0].number if claiming else len(saying)
    for one in saying:
        expected = [credential] if kind in one.kinds and one.number <= last else []
        assert one.asked == expected, "nobody hears of another kind, nor after it was claimed"


class Doing:
    kinds = frozenset({Kind.TOKEN})

    def __init__(self, do: Callable[[], Awaitable[object]]) -> None:
        self._do = do

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        await self._do()
        return Identity("somebody")


def asked_of(do: Callable[[], Awaitable[object]]) -> Identity | None:
    bounded = Bounded(Doing(do), timeout_s=0.05)
    return asyncio.run(bounded.identify(Credential(Kind.TOKEN, "secret"), SHOWN))


def test_who_hangs_or_fails_lets_nobody_in_and_tells_nothing() -> None:
    async def fail() -> None:
        raise OSError("the address of the directory")

    with pytest.raises(ProviderSilent):
        asked_of(asyncio.Event().wait)
    with pytest.raises(ProviderSilent) as silent:
        asked_of(fail)
    assert "address" not in str(silent.value)


@pytest.mark.parametrize("error", [NotAuthenticated("not you"), NotAllowed("not here")])
def test_a_providers_own_refusal_is_handed_on(error: Exception) -> None:
    async def refuse() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        asked_of(refuse)


@pytest.mark.parametrize(
    ("header", "kind", "secret"),
    [
        ("plk_x", Kind.TOKEN, "plk_x"), ("Bearer plk_x", Kind.TOKEN, "plk_x"),
        ("bearer  plk_x ", Kind.TOKEN, "plk_x"), ("Basic YTpi", Kind.BASIC, "YTpi"),
        (" basic YTpi", Kind.BASIC, "YTpi"), ("Bearer", Kind.TOKEN, "Bearer"),
    ],
)  # fmt: skip
def test_a_header_shows_one_credential_of_one_kind(header: str, kind: Kind, secret: str) -> None:
    assert credential_in(header) == Credential(kind, secret)


@pytest.mark.parametrize("header", ["Digest x", "Negotiate abc", "Token plk_x"])
def test_another_scheme_is_refused(header: str) -> None:
    with pytest.raises(NotAuthenticated, match="scheme is not known"):
        credential_in(header)
