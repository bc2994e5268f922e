"""Where the static tree is written."""

from typing import Annotated

from packledger.domain.section import Section, setting


class Static(Section, frozen=True):
    """What nginx in front serves from files."""

    tree: Annotated[
        str,
        setting(
            "A directory for index files and packuments as files, for nginx in front. Empty: none.",
            flat="static_tree",
            path=True,
        ),
    ] = ""
