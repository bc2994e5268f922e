from pathlib import Path

from packledger.cli.configuration import documentation


def test_the_documentation_is_that_of_the_settings() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text() == documentation(), (
        "run: packledger config docs > docs/configuration.md"
    )
