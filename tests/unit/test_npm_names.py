import pytest

from packledger.domain.errors import Invalid
from packledger.domain.npm.names import (
    canonical_npm_name,
    check_dist_tag,
    check_new_npm_name,
    parse_name,
    tarball_filename,
    version_of_tarball,
)


@pytest.mark.parametrize(
    "name", ["a", "left-pad", "@s/n", "@s/http", "events", "http", "x.y_z", "0", "@-s/_n"]
)
def test_a_new_package_may_have_the_name(name: str) -> None:
    check_new_npm_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", " a", "a ", ".a", "-a", "_a", "@s/.a", "@../a", "@./a", "a/b", "@s",
        "@s/", "@/a", "@s/a/b",
        "a b", "a%2fb", "é", "a\n", "node_modules", "favicon.ico", "Upper", "@S/a", "a~b",
        "a!", "@a!/b",
        "@s/-", "a" * 215, "@s/" + "a" * 212, "\0",
        "a:b", "..", "@s/..",
    ],
)  # fmt: skip
def test_a_new_package_may_not_have_the_name(name: str) -> None:
    with pytest.raises(Invalid):
        check_new_npm_name(name)


def test_a_name_of_214_characters_is_the_longest() -> None:
    check_new_npm_name("@s/" + "a" * 211)


def test_a_refusal_names_the_name_and_the_way_out() -> None:
    with pytest.raises(Invalid, match="`JSONStream` has capital letters; use `jsonstream`"):
        check_new_npm_name("JSONStream")


def test_old_names_are_readable() -> None:
    assert parse_name("JSONStream") == (None, "JSONStream")
    assert parse_name("@Scope/Na!me") == ("Scope", "Na!me")


def test_names_that_differ_in_case_have_one_canonical_form() -> None:
    assert canonical_npm_name("@S/Name") == canonical_npm_name("@s/name") == "@s/name"


@pytest.mark.parametrize(
    ("name", "version", "file"),
    [
        ("left-pad", "1.0.0", "left-pad-1.0.0.tgz"),
        ("@s/n", "1.0.0-rc.1", "n-1.0.0-rc.1.tgz"),
    ],
)
def test_a_tarball_is_named_without_the_scope(name: str, version: str, file: str) -> None:
    assert tarball_filename(name, version) == file
    assert version_of_tarball(name, file) == version


@pytest.mark.parametrize("file", ["pad-1.0.0.tgz", "left-pad-.tgz", "left-pad-1.0.0.zip", ""])
def test_a_file_of_another_package_has_no_version(file: str) -> None:
    assert version_of_tarball("left-pad", file) is None


@pytest.mark.parametrize(
    "tag", ["latest", "next", "v", "v1-lts", "beta.1", "1st", "x.y", "a" * 128]
)
def test_a_word_is_a_dist_tag(tag: str) -> None:
    check_dist_tag(tag)


@pytest.mark.parametrize(
    "tag",
    [
        "", "1", "1.x", "x", "X.1", "v2", "vv2", "*", "1.*", "*1.2.3", "~1", "1.0.0",
        "1.0.0-rc.1",
        "01.x*", "a b", "a/b", "a%", "é", "__proto__", ".", "..", "a" * 129, "9" * 120,
        "\n", "latest\n",
        "^1", ">=1", "1||2",
    ],
)  # fmt: skip
def test_a_range_or_an_unsafe_text_is_no_dist_tag(tag: str) -> None:
    with pytest.raises(Invalid):
        check_dist_tag(tag)
