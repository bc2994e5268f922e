"""Settings: a file, under the environment, under flags; a mistake gives a sentence."""

from pathlib import Path

import pytest

from packledger.cli.settings import KEYS, BadSettings, Settings, address, load


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
    assert settings.public_url == settings.listen[0] == "http://127.0.0.1:8765"
    assert settings.registration == "closed"
    assert settings.data == "packledger-data"


def test_a_flag_is_stronger_than_the_environment_and_that_than_the_file(tmp_path: Path) -> None:
    file, environment = "workers = 3\nmax_crate_bytes = 5", {"PACKLEDGER_WORKERS": "4"}
    settings = settings_of(tmp_path, file)
    assert (settings.workers, settings.max_crate_bytes) == (3, 5)
    assert settings_of(tmp_path, file, environment).workers == 4
    assert settings_of(tmp_path, file, environment, workers=5).workers == 5
    assert settings_of(tmp_path, file, environment, workers=None).workers == 4


def test_relative_paths_of_the_file_are_relative_to_it(tmp_path: Path) -> None:
    assert settings_of(tmp_path, 'data = "here"').data == str(tmp_path / "here")
    assert settings_of(tmp_path, 'data = "/there"').data == "/there"
    assert settings_of(tmp_path, 'data = "here"', {"PACKLEDGER_DATA": "env"}).data == "env"
    assert settings_of(tmp_path, 'data = "here"', data="flag").data == "flag"


def test_the_environment_separates_by_commas(tmp_path: Path) -> None:
    environment = {"PACKLEDGER_LISTEN": "http://127.0.0.1:1,http://[::1]:2"}
    assert settings_of(tmp_path, None, environment).listen == (
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
        ("", {"PACKLEDGER_WORKERS": "-1"}, "workers"),
        ("registration = 'sometimes'", {}, "registration"),
        ("listen = []", {}, "`listen`"),
        ("listen = ['127.0.0.1:80']", {}, "`listen`.*`127.0.0.1:80`"),
        ("listen = ['http://127.0.0.1']", {}, "`listen`"),
        ("listen = ['http://127.0.0.1:99999']", {}, "`listen`"),
        ("listen = ['http://[::1:80']", {}, "`listen`"),
        ("listen = ['http://0.0.0.0:80']", {}, "`public_url` is required"),
        ("public_url = 'registry.example.com'", {}, "`public_url`.*`registry.example.com`"),
        ("public_url = 'ftp://registry.example.com'", {}, "`public_url`"),
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
    with pytest.raises(BadSettings, match=f"`{key}` must be .* not `{value}`"):
        settings_of(tmp_path, None, {f"PACKLEDGER_{key.upper()}": value})


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
    assert settings_of(tmp_path, None, {"PATH": "/bin", "PACKLEDGERS": "1"}).workers == 2
    assert "data" in KEYS
