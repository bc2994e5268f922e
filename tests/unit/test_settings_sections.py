"""Sections of the settings: tables, arrays of tables, and what is said of a mistake in them."""

import pickle
import tomllib
import traceback
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from packledger.domain.section import Section, setting
from packledger.server.settings.keys import Schema, fields_of, schema_of
from packledger.server.settings.page import page_of
from packledger.server.settings.settings import Settings, load_as
from packledger.server.settings.values import BadSettings
from packledger.server.settings.words import allowed
from packledger.server.settings.written import toml_of, toml_value


class Proof(Section, frozen=True):
    """Who we are there."""

    user: Annotated[str, setting("The user.")] = ""
    token: Annotated[str, setting("The token.", secret=True)] = ""


class Mirror(Section, frozen=True, kw_only=True):
    """Where packages come from that are not here."""

    url: Annotated[str, setting("The URL of the other registry.")]
    timeout_s: Annotated[float, setting("How long it may say nothing.", ge=0.1, le=60)] = 30.0
    names: Annotated[tuple[str, ...], setting("The packages of it.")] = ()
    ca_file: Annotated[str, setting("Its authority.", path=True)] = ""
    secret: Annotated[str, setting("What it asks for.", secret=True)] = ""
    proof: Proof = Proof()
    proofs: tuple[Proof, ...] = ()

    def __post_init__(self) -> None:
        if not self.url.startswith("https://"):
            raise ValueError(f"`url` must be https://, as all are, not `{self.url}`")
        if self.secret and not self.proof.user:
            raise ValueError("`secret` needs `proof`")


class Quota(Section, frozen=True):
    """How much is too much."""

    per_minute: Annotated[int, setting("Requests a minute.", ge=1)] = 60
    exempt: Annotated[tuple[str, ...], setting("Accounts without one.")] = ()
    key_file: Annotated[str, setting("Where a key is.", path=True)] = ""
    pepper: Annotated[str, setting("What nobody knows.", secret=True)] = ""


class More(Settings, frozen=True, kw_only=True):
    """The settings with two sections that a feature brings."""

    quota: Quota = Quota()
    mirrors: tuple[Mirror, ...] = ()


def more(
    folder: Path, text: str = "", environment: dict[str, str] | None = None, **flags: Any
) -> More:
    file = folder / "packledger.toml"
    file.write_text(text, encoding="utf-8", newline="")
    return load_as(More, file, environment or {}, flags)


def refused(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    """What is said of a mistake, without the folder."""
    with pytest.raises(BadSettings) as error:
        more(folder, text, environment)
    return error.value.told().replace(f"{folder}/", "")


OLDER: dict[str, Any] = {
    "data": "/data",
    "listen": ["http://127.0.0.1:1", "http://127.0.0.1:2"],
    "public_url": "https://r.example.com",
    "npm_root": "https://npm.example.com",
    "private": True,
    "registration": "closed",
    "workers": 3,
    "max_crate_bytes": 4,
    "max_unpacked_bytes": 5,
    "max_npm_body_bytes": 6,
    "wildcard_dependencies": True,
    "downloads_flush_s": 7.5,
    "proxies": ["10.0.0.0/8", "::1"],
    "client_timeout_s": 8.5,
    "database": "postgresql://me:pass@127.0.0.1/x",
    "database_connections": 9,
    "s3_bucket": "blobs",
    "s3_prefix": "in/",
    "s3_endpoint": "http://127.0.0.1:9000",
    "s3_public_endpoint": "https://s3.example.com",
    "s3_region": "here",
    "s3_access_key": "key",
    "s3_secret_key": "hush",
    "s3_ca_bundle": "/s3.pem",
    "s3_timeout_s": 10.5,
    "s3_redirect": True,
    "kafka": ["127.0.0.1:9092", "127.0.0.1:9093"],
    "kafka_topic": "events",
    "kafka_replicas": 11,
    "kafka_tls": True,
    "kafka_ca_file": "/kafka.pem",
    "kafka_user": "me",
    "kafka_password": "hush",
    "node": "n1",
    "static_tree": "/tree",
    "witnesses": [],
    "log_vkey": "",
    "log_level": "debug",
}
"""Every setting from before there were sections, as a file of that time could say it."""


def test_every_name_from_before_there_were_sections_still_sets_the_same(tmp_path: Path) -> None:
    schema = schema_of(Settings)
    assert schema.flat.keys() >= OLDER.keys()
    above = "".join(f"{key} = {toml_value(value)}\n" for key, value in OLDER.items())
    tables: dict[str, str] = {}
    for key, value in OLDER.items():
        *section, name = schema.flat[key]
        head = f"[{section[0]}]\n" if section else ""
        tables[head] = tables.get(head, head) + f"{name} = {toml_value(value)}\n"
    environment = {
        f"PACKLEDGER_{key.upper()}": ",".join(value) if isinstance(value, list) else str(value)
        for key, value in OLDER.items()
        if value != []
    }
    settings = more(tmp_path, above)
    assert settings == more(tmp_path, "".join(tables.values()))
    assert settings == more(tmp_path, "", environment)
    printed = tomllib.loads(toml_of(settings))
    hidden = dict.fromkeys(("database", "s3_secret_key", "kafka_password"), "(hidden)")
    assert {key: printed[key] for key in OLDER} == OLDER | hidden


def test_a_section_is_read_from_its_table_and_from_the_environment(tmp_path: Path) -> None:
    text = '[quota]\nper_minute = 5\nexempt = ["a"]\nkey_file = "key"\n'
    assert more(tmp_path, text).quota == Quota(5, ("a",), str(tmp_path / "key"))
    environment = {"PACKLEDGER_QUOTA_PER_MINUTE": "6", "PACKLEDGER_QUOTA_EXEMPT": "b,c"}
    assert more(tmp_path, text, environment).quota == Quota(6, ("b", "c"), str(tmp_path / "key"))
    assert load_as(More, None, {"PACKLEDGER_QUOTA_KEY_FILE": "key"}, {}).quota.key_file == "key"


def test_an_array_of_tables_is_read_in_order_with_its_paths_beside_the_file(tmp_path: Path) -> None:
    text = """
        [[mirrors]]
        url = "https://a.example.com"
        ca_file = "ca.pem"
        [[mirrors]]
        url = "https://b.example.com"
        names = ["x"]
        proof = {user = "me"}
        [[mirrors.proofs]]
        token = "t"
    """
    assert more(tmp_path, text).mirrors == (
        Mirror(url="https://a.example.com", ca_file=str(tmp_path / "ca.pem")),
        Mirror(
            url="https://b.example.com",
            names=("x",),
            proof=Proof("me"),
            proofs=(Proof("", "t"),),
        ),
    )


GOOD = '[[mirrors]]\nurl = "https://a.example.com"\n'


@pytest.mark.parametrize(
    ("text", "environment", "says"),
    [
        (f"{GOOD}{GOOD}[[mirrors]]\n", {}, "packledger.toml: `mirrors[2].url` is missing: The URL"),
        (
            f"{GOOD}[[mirrors]]\nurl = 'http://b'\n",
            {},
            "packledger.toml: `mirrors[1].url` must be https://, as all are, not `http://b`",
        ),
        (
            f"{GOOD}timeout_s = 61\n",
            {},
            "packledger.toml: `mirrors[0].timeout_s` must be a number from 0.1 to 60, not `61`",
        ),
        (
            f"{GOOD}names = ['a', 3]\n",
            {},
            'packledger.toml: `mirrors[0].names` must be a list of texts, not `["a",3]`',
        ),
        (
            f"{GOOD}secret = 'S3CRET'\n",
            {},
            "packledger.toml: `mirrors[0].secret` needs `mirrors[0].proof`",
        ),
        (f"{GOOD}secret = 3\n", {}, "packledger.toml: `mirrors[0].secret` must be a text"),
        (
            f"{GOOD}timeout = 3\n",
            {},
            "unknown setting `mirrors[0].timeout` in `packledger.toml`; did you mean "
            "`mirrors[0].timeout_s`?",
        ),
        (
            f"{GOOD}proof = {{usr = 'me'}}\n",
            {},
            "unknown setting `mirrors[0].proof.usr` in `packledger.toml`; did you mean "
            "`mirrors[0].proof.user`?",
        ),
        (
            f"{GOOD}[[mirrors.proofs]]\nuser = 3\n",
            {},
            "packledger.toml: `mirrors[0].proofs[0].user` must be a text, not `3`",
        ),
        (
            f"{GOOD}workers = 3\n",
            {},
            "unknown setting `mirrors[0].workers` in `packledger.toml`; `workers` must stand above "
            "the first table",
        ),
        (
            "[mirrors]\nsecret = 'S3CRET'\n",
            {},
            "packledger.toml: `mirrors` must be an array of tables, `[[mirrors]]`",
        ),
        ("mirrors = ['S3CRET']", {}, "packledger.toml: `mirrors[0]` must be an array of tables"),
        ("[[quota]]\n", {}, "packledger.toml: `quota` must be a table, `[quota]`"),
        ("quota = 'S3CRET'", {}, "packledger.toml: `quota` must be a table, `[quota]`"),
        ("[qota]\n", {}, "unknown setting `qota` in `packledger.toml`; did you mean `quota`?"),
        (
            "[quota]\nper_minut = 3\n",
            {},
            "unknown setting `quota.per_minut` in `packledger.toml`; did you mean "
            "`quota.per_minute`?",
        ),
        (
            "[quota]\nzzz = 3\n",
            {},
            "unknown setting `quota.zzz` in `packledger.toml`; the keys are quota.per_minute, "
            "quota.exempt, quota.key_file, quota.pepper",
        ),
        (
            "[quota]\nper_minute = 0\n",
            {},
            "packledger.toml: `quota.per_minute` must be a whole number, at least 1, not `0`",
        ),
        (
            "",
            {"PACKLEDGER_QUOTA_PER_MINUTE": "many"},
            "the environment: `PACKLEDGER_QUOTA_PER_MINUTE` must be a whole number, at least 1, "
            "not `many`",
        ),
        (
            "",
            {"PACKLEDGER_QUOTA_PER_MINUT": "3"},
            "unknown setting `PACKLEDGER_QUOTA_PER_MINUT` in the environment; did you mean "
            "`PACKLEDGER_QUOTA_PER_MINUTE`?",
        ),
        (
            "",
            {"PACKLEDGER_MIRRORS": "[]"},
            "the environment: `PACKLEDGER_MIRRORS` cannot be set: `mirrors` are tables, "
            "`[[mirrors]]` of a file",
        ),
        ("", {"PACKLEDGER_MIRRORS_0_URL": ""}, "the environment: `PACKLEDGER_MIRRORS_0_URL` cann"),
        (
            "max_crate_bytes = 3\n[limits]\ncrate_bytes = 3\n",
            {},
            "packledger.toml: `max_crate_bytes` and `limits.crate_bytes` are the same setting",
        ),
        (
            "[s3]\nbucket = 'region'\nendpoint = '-'\n",
            {},
            "packledger.toml: `s3.endpoint` must be a URL such as `http://127.0.0.1:9000`, not `-`",
        ),
        ("[s3]\nbucket = 'NODE'\n", {}, "packledger.toml: `s3.bucket` must be 3 to 63 small"),
        (
            "[access]\nprivate = true\n",
            {"PACKLEDGER_REGISTRATION": "open"},
            "packledger.toml: `access.private` and `PACKLEDGER_REGISTRATION` `open` exclude each",
        ),
        (f"workers = {'9' * 5000}", {}, "the settings file `packledger.toml` is not TOML"),
        (f"a = {'[' * 50_000}", {}, "the settings file `packledger.toml` is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, text: str, environment: dict[str, str], says: str
) -> None:
    said = refused(tmp_path, text, environment)
    assert said.startswith(says)
    assert "S3CRET" not in said


def test_a_value_that_is_called_like_a_key_stays_as_it_was_written(tmp_path: Path) -> None:
    said = refused(tmp_path, "[[mirrors]]\nurl = 'names'\n")
    assert said.endswith(", not `names`")
    assert refused(tmp_path, "public_url = 'data'").endswith(", not `data`")


def test_two_settings_cannot_have_the_same_name() -> None:
    class Taken(Settings, frozen=True, kw_only=True):
        workers: Quota = Quota()

    class Limit(Section, frozen=True):
        url: Annotated[str, setting("A URL.")] = ""

    class TakenVariable(Settings, frozen=True, kw_only=True):
        public: Limit = Limit()

    for taken in (Taken, TakenVariable):
        with pytest.raises(AssertionError, match=r"name|called"):
            Schema(taken)


def test_every_key_of_every_section_is_documented_and_can_be_described() -> None:
    def check(fields: Any) -> None:
        for field in fields:
            if field.section is not None:
                assert field.section.__doc__
                check(fields_of(field.section).values())
            else:
                assert field.about.description
                assert allowed(field)

    check(fields_of(More).values())


def test_the_page_says_where_each_key_can_be_set() -> None:
    page = page_of(More)
    assert "\n## `[quota]`\n\nHow much is too much.\n" in page
    assert "| `per_minute` |  | `PACKLEDGER_QUOTA_PER_MINUTE` | `60` | Requests a minute. |" in page
    assert "\n## `[[mirrors]]`\n\nWhere packages come from" in page
    assert "| `url` | required | The URL of the other registry. |" in page
    assert "\n## `[mirrors.proof]`\n" in page
    assert "\n## `[[mirrors.proofs]]`\n" in page
    assert "PACKLEDGER_MIRRORS" not in page


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = st.text("abz019-", min_size=3, max_size=12).map(lambda word: f"a{word}z")
URLS = WORDS.map(lambda host: f"https://{host}.example.com")
NUMBERS = st.integers(1, 10**30)
LISTS = st.lists(TEXTS, max_size=3)


def seconds(least: float, most: float | None = None) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_nan=False)


PROOFS = st.fixed_dictionaries({}, optional={"user": TEXTS})
VALUES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "": {
        "data": TEXTS,
        "public_url": URLS,
        "node": TEXTS,
        "log_level": st.sampled_from(["debug", "error"]),
        "max_crate_bytes": NUMBERS,
        "s3_prefix": TEXTS,
        "kafka_topic": TEXTS,
        "static_tree": TEXTS,
    },
    "http": {
        "listen": st.lists(st.just("http://127.0.0.1:0"), min_size=1, max_size=2),
        "npm_root": URLS.map(lambda url: url.replace("https://", "https://npm-")),
        "workers": st.integers(1, 64),
        "proxies": st.lists(st.ip_addresses().map(str)),
        "client_timeout_s": seconds(1),
    },
    "access": {"private": st.booleans()},
    "limits": {"npm_body_bytes": NUMBERS, "wildcard_dependencies": st.booleans()},
    "downloads": {"flush_s": seconds(0.1)},
    "s3": {"region": TEXTS, "ca_bundle": TEXTS, "bucket": WORDS, "timeout_s": seconds(0.1)},
    "brokers": {"replicas": NUMBERS, "tls": st.booleans()},
    "quota": {"per_minute": NUMBERS, "exempt": LISTS, "key_file": TEXTS},
}
MIRRORS = st.lists(
    st.fixed_dictionaries(
        {"url": URLS},
        optional={
            "timeout_s": seconds(0.1, 60),
            "names": LISTS,
            "ca_file": TEXTS,
            "proof": PROOFS,
            "proofs": st.lists(PROOFS, max_size=2),
        },
    ),
    max_size=3,
)


def inline(value: Any) -> str:
    """A value as a TOML file may say it, tables on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return repr(value).lower()


@st.composite
def files(draw: st.DrawFn) -> str:
    text = ""
    for section, keys in VALUES.items():
        text += f"[{section}]\n" if section else ""
        for key, value in draw(st.fixed_dictionaries({}, optional=keys)).items():
            text += f"{key} = {inline(value)}\n"
        text += "" if section else f"mirrors = {inline(draw(MIRRORS))}\n"
    return text


@given_settings(deadline=None)
@given(text=files())
def test_what_a_check_prints_is_read_back_as_the_same_settings(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    first = more(folder, text)
    if first.data == Settings().data:  # of no file: relative to where a command is started
        first = msgspec.structs.replace(first, data=str(folder / first.data))
    written = toml_of(first)
    second = more(folder, written)
    assert second == first
    assert toml_of(second) == written


SECRETS = """
database = "postgresql://me:S3CRET@127.0.0.1/x"
s3_bucket = "blobs"
s3_access_key = "me"
s3_secret_key = "S3CRET"
kafka_user = "me"
kafka_password = "S3CRET"
{above}
[quota]
pepper = "S3CRET"
{quota}
[[mirrors]]
url = "https://a.example.com"
secret = "S3CRET"
proof = {{user = "me", token = "S3CRET"}}
{mirror}
"""
MISTAKES = st.sampled_from(
    [
        {"above": "worker = 3"},
        {"above": "workers = 'many'"},
        {"above": "workers ="},
        {"above": "kafka_ca_file = 'x'"},
        {"above": "s3_endpoint = '-'"},
        {"above": "s3_secret_keys = 'S3CRET'"},
        {"above": "node = 'S3CRET"},
        {"quota": "peper = 'S3CRET'"},
        {"quota": "per_minute = 0"},
        {"quota": "pepper = 'S3CRET'"},
        {"mirror": "timeout_s = 0"},
        {"mirror": "secrt = 'S3CRET'"},
        {"mirror": "proofs = [{token = ['S3CRET']}]"},
        {"mirror": "proofs = [{token = {a = 'S3CRET'}}]"},
        {"mirror": "proofs = ['S3CRET']"},
        {"mirror": "proofs = 'S3CRET'"},
        {"mirror": "[[mirrors]]\nsecret = 'S3CRET'\nurl = 'x'"},
        {"mirror": "[[mirrors]]\nsecret = 'S3CRET'\nurl = 'https://x'"},
    ]
)
VARIABLES = st.sampled_from(
    [{}, {"PACKLEDGER_QUOTA_PEPPERS": "S3CRET"}, {"PACKLEDGER_MIRRORS": "S3CRET"}]
)


@given_settings(deadline=None)
@given(mistake=MISTAKES, environment=VARIABLES)
def test_no_mistake_tells_a_secret(
    mistake: dict[str, str], environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "secrets.toml"
    file.write_text(SECRETS.format(**({"above": "", "quota": "", "mirror": ""} | mistake)))
    with pytest.raises(BadSettings) as refused:
        load_as(More, file, environment, {})
    said = "".join(traceback.format_exception(refused.value)) + refused.value.told()
    assert "S3CRET" not in said


def test_nothing_that_prints_settings_prints_a_secret(tmp_path: Path) -> None:
    settings = more(tmp_path, SECRETS.format(above="", quota="", mirror=""))
    assert settings.mirrors[0].proof.token == settings.quota.pepper == "S3CRET"
    for printed in (repr(settings), str(settings), f"{settings.s3}", toml_of(settings)):
        assert "S3CRET" not in printed
        assert "(hidden)" in printed


def test_settings_are_the_same_in_another_process(tmp_path: Path) -> None:
    """They are handed to the processes of a rebuild."""
    settings = more(tmp_path, f"max_crate_bytes = 3\n{GOOD}")
    assert pickle.loads(pickle.dumps(settings)) == settings
