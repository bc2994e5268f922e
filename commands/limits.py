"""What an upload may be."""

from typing import Annotated

from packledger.domain.section import Section, setting

MIB = 1024 * 1024


class Limits(Section, frozen=True):
    """What an upload may be."""

    # crates.io: 10 MiB
    crate_bytes: Annotated[
        int, setting("The largest `.crate`, compressed.", ge=1, flat="max_crate_bytes")
    ] = 32 * MIB
    # Also cargo's own limit.
    unpacked_bytes: Annotated[
        int,
        setting(
            "The most that an uploaded archive may unpack to.", ge=1, flat="max_unpacked_bytes"
        ),
    ] = 512 * MIB
    npm_body_bytes: Annotated[
        int,
        setting(
            "The largest body of `npm publish`; base64 makes a tarball a third larger.",
            ge=1,
            flat="max_npm_body_bytes",
        ),
    ] = 128 * MIB
    wildcard_dependencies: Annotated[
        bool,
        setting(
            "Whether a crate may depend on `*`, any version of another one.",
            flat="wildcard_dependencies",
        ),
    ] = False
