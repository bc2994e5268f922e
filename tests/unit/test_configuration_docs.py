import tomllib
from pathlib import Path

from click.testing import CliRunner

from packledger.cli.config import documentation
from packledger.cli.main import main
from packledger.server.settings.settings import KEYS


def test_the_documentation_is_that_of_the_settings() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text() == documentation(), (
        "run: packledger config docs > docs/configuration.md"
    )


def check(file: Path) -> tuple[int, str]:
    said = CliRunner().invoke(main, ["config", "check", "--config", str(file)])
    return said.exit_code, said.output


def test_a_check_prints_every_setting_in_force_as_the_file_would_say_it(tmp_path: Path) -> None:
    file = tmp_path / "packledger.toml"
    file.write_text('workers = 3\nprivate = true\ndata = "here"\n')
    code, said = check(file)
    assert code == 0
    in_force = tomllib.loads(said)
    assert set(in_force) >= set(KEYS)
    tables = [in_force[name] for name in set(in_force) - set(KEYS)]
    assert all(isinstance(table, dict | list) for table in tables)
    assert (in_force["workers"], in_force["private"]) == (3, True)
    assert in_force["data"] == str(tmp_path / "here")
    file.write_text(said)
    assert check(file) == (0, said)


def test_a_check_prints_no_password(tmp_path: Path) -> None:
    file = tmp_path / "packledger.toml"
    file.write_text(
        'database = "postgresql://me:hush-1@127.0.0.1/registry"\n'
        's3_bucket = "blobs"\ns3_access_key = "me"\ns3_secret_key = "hush-2"\n'
        'kafka = ["127.0.0.1:9092"]\nkafka_user = "me"\nkafka_password = "hush-3"\n'
    )
    code, said = check(file)
    assert code == 0
    assert "hush" not in said
    assert tomllib.loads(said)["s3_access_key"] == "me"


def test_a_check_of_settings_that_cannot_be_used_exits_2_and_names_the_nearest_key(
    tmp_path: Path,
) -> None:
    file = tmp_path / "packledger.toml"
    file.write_text("worker = 3\n")
    code, said = check(file)
    assert code == 2
    assert "`worker`" in said
    assert "`workers`" in said
