"""Where a tile is below the log's URL: `x001/234` for tile 1234, `.p/<W>` for W of its 256.

Source: https://c2sp.org/tlog-tiles
"""

import re

from packledger.projections.log_tiles.merkle import TILE_WIDTH

_PATH = re.compile(r"((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEVEL = re.compile(r"[0-9]|[1-5][0-9]|6[0-3]")
_LIMIT_CHARACTERS = 60
"""A tile's number has at most 63 bits: seven groups."""


def tile_path(tile: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile behind its level."""
    text = f"{tile % 1000:03}"
    while tile := tile // 1000:
        text = f"x{tile % 1000:03}/{text}"
    return text if width == TILE_WIDTH else f"{text}.p/{width}"


def parse_tile_path(path: str) -> tuple[int, int] | None:
    """Return the number and the width of a tile, None if the path is not exactly one's."""
    match = _PATH.fullmatch(path) if len(path) <= _LIMIT_CHARACTERS else None
    if match is None:
        return None
    tile = int(match[1].replace("x", "").replace("/", ""))
    width = int(match[2]) if match[2] else TILE_WIDTH
    whole = width < TILE_WIDTH or match[2] is None
    return (tile, width) if whole and tile < 2**55 and tile_path(tile, width) == path else None


def parse_level(text: str) -> int | None:
    """Return the level of a tile, None if it is none."""
    return int(text) if _LEVEL.fullmatch(text) else None
