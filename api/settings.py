"""How downloads are counted."""

from typing import Annotated

from packledger.domain.section import Section, setting


class Downloads(Section, frozen=True):
    """How downloads are counted."""

    flush_s: Annotated[
        float,
        setting(
            "How often download counts are appended to the log, in seconds.",
            ge=0.1,
            flat="downloads_flush_s",
        ),
    ] = 60.0
