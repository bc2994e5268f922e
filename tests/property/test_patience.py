"""A client is given up for what it did not do, whenever the server happens to look."""

from hypothesis import given
from hypothesis import strategies as st

from packledger.server.http.patience import MIN_BYTES_PER_S, Patience, Turn

PATIENCE_S = 30.0
LOOK_S = PATIENCE_S / 4
LOOKS = st.lists(
    st.none()
    | st.builds(
        Turn,
        wait=st.sampled_from(["head", "body", "answer"]),
        request=st.integers(1, 3),
        moved_bytes=st.integers(0, 10**6),
    ),
    max_size=40,
)


@given(LOOKS)
def test_who_is_given_up_was_waited_for_in_one_request_and_moved_too_little(
    looks: list[Turn | None],
) -> None:
    patience = Patience()
    for at, turn in enumerate(looks):
        if patience.is_over(turn, at * LOOK_S, PATIENCE_S):
            assert turn is not None
            seen = [one for one in looks[max(0, at - 4) : at + 1] if one is not None]
            assert len(seen) == 5, "it was waited for at as many looks as patience lasts"
            assert {one[:2] for one in seen} == {turn[:2]}
            assert turn.moved_bytes - seen[0].moved_bytes < MIN_BYTES_PER_S * PATIENCE_S


@given(st.integers(1, 3), st.lists(st.integers(0, 2), min_size=5, max_size=40))
def test_who_does_nothing_is_given_up_in_time(request: int, steps: list[int]) -> None:
    """Whatever came before: after as many looks as patience lasts, twice at most."""
    patience = Patience()
    turn = Turn("body", request, 0)
    over = [patience.is_over(turn, at * LOOK_S, PATIENCE_S) for at in range(len(steps))]
    assert any(over)


@given(st.integers(5, 100))
def test_many_short_requests_are_never_given_up(count: int) -> None:
    """Every look may fall between the head of a request and its body."""
    patience = Patience()
    for request in range(count):
        assert not patience.is_over(Turn("body", request, 2 * request), request * LOOK_S, 1.0)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=40))
def test_who_moves_fast_enough_is_never_given_up(moves: list[int]) -> None:
    patience, moved = Patience(), 0
    for at, more in enumerate(moves):
        moved += int(MIN_BYTES_PER_S * LOOK_S) + more
        assert not patience.is_over(Turn("answer", 1, moved), at * LOOK_S, PATIENCE_S)
