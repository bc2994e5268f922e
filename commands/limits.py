"""What an upload may be. The defaults are those of the settings."""

import msgspec

MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """Sizes are in bytes.

    crate: a `.crate`, compressed (crates.io: 10 MiB); unpacked: what an archive may hold, also
    cargo's own limit; npm_body: the JSON of `npm publish`, whose base64 takes a third more;
    wildcard_dependencies: whether a crate may depend on any version of another.
    """

    crate_bytes: int = 32 * MIB
    unpacked_bytes: int = 512 * MIB
    npm_body_bytes: int = 128 * MIB
    wildcard_dependencies: bool = False
