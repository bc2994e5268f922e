"""Who asks, when and through which request: what every event of a command is stamped with."""

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """One authenticated request.

    at: RFC 3339 UTC with milliseconds; by: account; token: its public id; request: request id;
    admin: may act on crates and packages of others.
    """

    at: str
    by: str
    token: str = ""
    request: str = ""
    admin: bool = False

    def stamp(self) -> dict[str, str]:
        """Return the fields that every event takes from its actor."""
        return {"at": self.at, "by": self.by, "token": self.token, "request": self.request}
