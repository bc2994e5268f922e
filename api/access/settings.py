"""Who may read and who may join."""

from typing import Annotated, Literal

from packledger.domain.section import Section, setting


class AccessSettings(Section, frozen=True):
    """Who may read, and who may join."""

    private: Annotated[
        bool,
        setting(
            "Whether reading needs a token, too. cargo then needs a credential provider.",
            flat="private",
        ),
    ] = False
    registration: Annotated[
        Literal["closed", "open"],
        setting(
            "`open` lets `npm login` with a new name create an account. Not with `private`: a "
            "stranger could register and read everything.",
            flat="registration",
        ),
    ] = "closed"
