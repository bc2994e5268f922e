"""Settings: a file, under the environment, under flags; a mistake gives a sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from packledger.server.http.settings import address
from packledger.server.settings.settings import KEYS, Settings, load
from packledger.server.settings.values import BadSettings


def settings_of(
    tmp_path: Path,
    file: str | None = None,
    environment: dict[str, str] | None = None,
    **flags: object,
) -> Settings:
    config = None
    if file is not None:
        config = tmp_path / "packledger.toml"
        config.write_text(file)
    return load(config, environment or {}, flags)


def test_without_anything_it_listens_on_loopback_and_keeps_that_as_its_url(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert settings.public_url == settings.http.listen[0] == "http://127.0.0.1:8765"
    assert settings.access.registration == "closed"
    assert settings.data == "packledger-data"


def test_a_flag_is_stronger_than_the_environment_and_that_than_the_file(tmp_path: Path) -> None:
    file, environment = "workers = 3\nmax_crate_bytes = 5", {"PACKLEDGER_WORKERS": "4"}
    settings = settings_of(tmp_path, file)
    assert (settings.http.workers, settings.limits.crate_bytes) == (3, 5)
    assert settings_of(tmp_path, file, environment).http.workers == 4
    assert settings_of(tmp_path, file, environment, workers=5).http.workers == 5
    assert settings_of(tmp_path, file, environment, workers=None).http.workers == 4


def test_relative_paths_of_the_file_are_relative_to_it(tmp_path: Path) -> None:
    assert settings_of(tmp_path, 'data = "here"').data == str(tmp_path / "here")
    assert settings_of(tmp_path, 'data = "/there"').data == "/there"
    assert settings_of(tmp_path, 'data = "here"', {"PACKLEDGER_DATA": "env"}).data == "env"
    assert settings_of(tmp_path, 'data = "here"', data="flag").data == "flag"


def test_the_environment_separates_by_commas(tmp_path: Path) -> None:
    environment = {"PACKLEDGER_LISTEN": "http://127.0.0.1:1,http://[::1]:2"}
    assert settings_of(tmp_path, None, environment).http.listen == (
        "http://127.0.0.1:1",
        "http://[::1]:2",
    )


@pytest.mark.parametrize(
    ("file", "environment", "says"),
    [
        ("worker = 3", {}, "`worker`.*did you mean `workers`"),
        ("zzz = 3", {}, "`zzz`.*the keys are"),
        ("", {"PACKLEDGER_WORKER": "3"}, "`PACKLEDGER_WORKER`.*`PACKLEDGER_WORKERS`"),
        ("workers = 'many'", {}, "workers"),
        ("workers = 0", {}, "workers"),
        ("", {"PACKLEDGER_WORKERS": "-1"}, "`PACKLEDGER_WORKERS`"),
        ("registration = 'sometimes'", {}, "registration"),
        ("private = true\nregistration = 'open'", {}, "`private` and `registration`.*`closed`"),
        (
            "private = true",
            {"PACKLEDGER_REGISTRATION": "open"},
            "`private` and `PACKLEDGER_REGISTRATION`.*or set `private` to `false`",
        ),
        ("listen = []", {}, "`listen`"),
        ("listen = ['127.0.0.1:80']", {}, "`listen`.*`127.0.0.1:80`"),
        ("listen = ['http://127.0.0.1']", {}, "`listen`"),
        ("listen = ['http://127.0.0.1:99999']", {}, "`listen`"),
        ("listen = ['http://[::1:80']", {}, "`listen`"),
        ("listen = ['http://0.0.0.0:80']", {}, "`public_url` is required"),
        ("public_url = 'registry.example.com'", {}, "`public_url`.*`registry.example.com`"),
        ("public_url = 'ftp://registry.example.com'", {}, "`public_url`"),
        ("npm_root = 'npm.example.com'", {}, "`npm_root`.*`npm.example.com`"),
        ("npm_root = 'https://npm.example.com/npm'", {}, "`npm_root`.*without a path"),
        ("npm_root = 'http://127.0.0.1:8765/'", {}, "`npm_root` needs a host or a port"),
        ("public_url = 'https://registry.example.com/?a=b'", {}, "`public_url`"),
        ("public_url = 'https://registry.example.com/#top'", {}, "`public_url`"),
        ("public_url = 'https://[registry'", {}, "`public_url`"),
        ("public_url = 'https://registry.example.com:port'", {}, "`public_url`"),
        ("public_url = 'https://registry.example.com/a b'", {}, "`public_url`"),
        ("public_url = 'https://me:secret@registry.example.com'", {}, "`public_url`"),
        ("workers = ", {}, "TOML"),
        ("data = '\udcff'", {}, "TOML"),
    ],
)
def test_a_mistake_is_named(
    tmp_path: Path, file: str, environment: dict[str, str], says: str
) -> None:
    (tmp_path / "packledger.toml").write_bytes(file.encode(errors="surrogateescape"))
    with pytest.raises(BadSettings, match=says):
        load(tmp_path / "packledger.toml", environment, {})


@pytest.mark.parametrize(
    ("half", "missing"),
    [
        ("database = 'postgresql://127.0.0.1/x'", "s3_bucket"),
        ("kafka = ['127.0.0.1:9092']", "database"),
        ("kafka_user = 'me'", "kafka_password"),
        ("kafka_password = 'secret'", "kafka_user"),
        ("kafka_ca_file = 'ca.pem'", "kafka_tls"),
        ("s3_access_key = 'me'", "s3_secret_key"),
        ("s3_secret_key = 'secret'", "s3_access_key"),
        ("s3_endpoint = 'http://127.0.0.1:9000'", "s3_bucket"),
        ("s3_redirect = true", "s3_bucket"),
        ("s3_public_endpoint = 'http://127.0.0.1:9000'", "s3_redirect"),
    ],
)
def test_half_a_configuration_is_refused(tmp_path: Path, half: str, missing: str) -> None:
    (tmp_path / "packledger.toml").write_text(half)
    with pytest.raises(BadSettings, match=f"`{half.split(' = ')[0]}` needs `{missing}`"):
        load(tmp_path / "packledger.toml", {}, {})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("s3_endpoint", "127.0.0.1:9000"),
        ("s3_public_endpoint", "https://"),
        ("s3_bucket", "Blobs"),
        ("s3_bucket", "a/b"),
    ],
)
def test_what_cannot_be_an_s3_server_is_refused(tmp_path: Path, key: str, value: str) -> None:
    variable = f"PACKLEDGER_{key.upper()}"
    with pytest.raises(BadSettings, match=f"`{variable}` must be .* not `{value}`"):
        settings_of(tmp_path, None, {variable: value})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"missing\.toml"):
        load(tmp_path / "missing.toml", {}, {})


@pytest.mark.parametrize(
    "url", ["https://r.example.com", "https://r.example.com/a", "http://[::1]:8"]
)
def test_a_public_url_loses_its_last_slash_alone(tmp_path: Path, url: str) -> None:
    for written in (url, url + "/"):
        assert settings_of(tmp_path, None, None, public_url=written).public_url == url


def test_a_listener_is_a_host_and_a_port() -> None:
    assert address("http://127.0.0.1:0") == ("127.0.0.1", 0)
    assert address("http://[::1]:80/") == ("::1", 80)


def test_every_other_variable_of_the_environment_is_left_alone(tmp_path: Path) -> None:
    assert settings_of(tmp_path, None, {"PATH": "/bin", "PACKLEDGERS": "1"}).http.workers == 2
    assert "data" in KEYS


REFUSED = {
    "private": ("ja", "`true` or `false`"),
    "registration": ("sometimes", "`closed` or `open`"),
    "workers": ("65", "a whole number from 1 to 64"),
    "downloads_flush_s": ("0", "a number, at least 0.1"),
    "listen": ("127.0.0.1:80", "like `http://127.0.0.1:8765`"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_a_mistake_is_told_in_the_words_of_where_it_was_made(tmp_path: Path, key: str) -> None:
    value, allowed = REFUSED[key]
    values = (value,) if key == "listen" else value
    places: list[tuple[str, tuple[str | None, dict[str, str], dict[str, object]]]] = [
        (f"`{key}`", (f"{key} = {list(values) if key == 'listen' else repr(value)}", {}, {})),
        (f"`PACKLEDGER_{key.upper()}`", (None, {f"PACKLEDGER_{key.upper()}": value}, {})),
        (f"`--{key}`", (None, {}, {key: values})),
    ]
    for named, (file, environment, flags) in places:
        with pytest.raises(BadSettings) as refused:
            settings_of(tmp_path, file, environment, **flags)
        said = str(refused.value)
        assert said.startswith(f"{named} must "), said
        assert allowed in said
        assert said.endswith(f", not `{value}`")


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_says_what_it_takes_and_no_secret(tmp_path: Path, key: str) -> None:
    """TOML has types: what no setting takes is a table."""
    with pytest.raises(BadSettings) as refused:
        settings_of(tmp_path, f"{key} = {{hidden = 'S3CRET'}}")
    assert str(refused.value).startswith(f"`{key}` must be ")
    assert "$" not in str(refused.value)
    hides = "password" in key or "secret" in key or key == "database"
    assert ("S3CRET" in str(refused.value)) is not hides


ADDRESSES = st.ip_addresses().map(str)
NUMBERS = st.integers(1, 65535)
SERVICES = st.sampled_from(["", "WEB_", "MY_APP_"])
PROTOCOLS = st.sampled_from(["tcp", "udp", "sctp"])


@given_settings(deadline=None)
@given(SERVICES, PROTOCOLS, ADDRESSES, NUMBERS)
def test_what_kubernetes_says_of_a_service_is_no_setting(
    service: str, protocol: str, address: str, port: int
) -> None:
    """Each Service whose name begins with `packledger` puts these into every container."""
    host = f"[{address}]" if ":" in address else address
    start, url = f"PACKLEDGER_{service}", f"{protocol}://{host}:{port}"
    port_of = f"{start}PORT_{port}_{protocol.upper()}"
    links = {
        f"{start}SERVICE_HOST": address,
        f"{start}SERVICE_PORT": str(port),
        f"{start}SERVICE_PORT_HTTP": str(port),
        f"{start}PORT": url,
        port_of: url,
        f"{port_of}_PROTO": protocol,
        f"{port_of}_PORT": str(port),
        f"{port_of}_ADDR": address,
    }
    assert load(None, links, {}) == load(None, {}, {})
    for name in links:
        with pytest.raises(BadSettings, match=f"`{name}`"):
            load(None, {name: "no address, no number"}, {})


def test_a_mistyped_setting_is_no_service() -> None:
    for name, value in (("PORT", "8765"), ("SERVICE_HOST", "web"), ("LISTEN_PORT", "80")):
        with pytest.raises(BadSettings, match=f"unknown setting `PACKLEDGER_{name}`"):
            load(None, {f"PACKLEDGER_{name}": value}, {})
