"""Which version stands for a package."""

import semver
from hypothesis import given
from hypothesis import strategies as st

from packledger.domain.npm.package import highest
from packledger.domain.versions import standing

NUMBER = st.integers(0, 12).map(str)
IDENTIFIER = st.one_of(NUMBER, st.sampled_from(["a", "B", "rc", "rc-1", "0a", "-"]))
PRERELEASE = st.lists(IDENTIFIER, max_size=3).map(lambda parts: "-" + ".".join(parts))
VERSION = st.builds(
    lambda numbers, prerelease, build: ".".join(numbers) + prerelease.rstrip("-") + build,
    st.tuples(NUMBER, NUMBER, NUMBER),
    PRERELEASE.filter(lambda text: not text.endswith("--")),
    st.sampled_from(["", "+1", "+linux"]),
).filter(semver.Version.is_valid)


@given(VERSION, VERSION)
def test_a_release_stands_above_prereleases_and_otherwise_semver_decides(a: str, b: str) -> None:
    one, other = semver.Version.parse(a), semver.Version.parse(b)
    if bool(one.prerelease) == bool(other.prerelease):
        assert (standing(a) > standing(b)) is (one.compare(other) > 0)
    else:
        assert (standing(a) > standing(b)) is bool(other.prerelease)


@given(st.lists(VERSION, min_size=1), st.randoms())
def test_the_highest_of_a_list_does_not_depend_on_its_order(versions, chance) -> None:
    shuffled = list(versions)
    chance.shuffle(shuffled)
    assert standing(highest(versions)) == standing(highest(shuffled))


def test_a_prerelease_stands_for_a_package_only_without_a_release() -> None:
    assert highest(["2.0.0-rc.1", "1.0.0", "0.9.0"]) == "1.0.0"
    assert highest(["1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-beta"]) == "1.0.0-rc.10"
