"""How large an upload may be. The defaults are those of the settings."""

import msgspec

MIB = 1024 * 1024


class Limits(msgspec.Struct, frozen=True):
    """All in bytes.

    crate: a `.crate`, compressed (crates.io: 10 MiB); unpacked: what an archive may hold, also
    cargo's own limit; npm_body: the JSON of `npm publish`, whose base64 takes a third more.
    """

    crate_bytes: int = 32 * MIB
    unpacked_bytes: int = 512 * MIB
    npm_body_bytes: int = 128 * MIB
