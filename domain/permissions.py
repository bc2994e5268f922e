"""What an account with a certain token may do; whether it owns the package is asked elsewhere."""

import msgspec

from packledger.domain.errors import NotAllowed, NotAuthenticated


class Identity(msgspec.Struct, frozen=True):
    """An authenticated caller.

    token: public id, empty for a password. scopes, packages: empty for no limit; a package is
    `NAME`, `cargo:NAME` or `npm:NAME`, and may end in `*`. expires: RFC 3339, empty for never.
    """

    account: str
    admin: bool = False
    token: str = ""
    read_only: bool = False
    scopes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    expires: str = ""

    def check_fresh(self, now: str) -> None:
        """Refuse a token whose time is over. now: RFC 3339.

        Raises:
            NotAuthenticated: it has expired.
        """
        if self.expires and self.expires <= now:
            raise NotAuthenticated(
                f"the token `{self.token}` expired on {self.expires}; create a new one"
            )

    def check_may_publish(self) -> None:
        """Refuse a token that is not for publishing, whatever it may turn out to be.

        Raises:
            NotAllowed: read-only, or other scopes.
        """
        self.check_may_write()
        if self.scopes and not {"publish-new", "publish-update"} & {*self.scopes}:
            raise NotAllowed(f"the token `{self.token}` lacks the scope `publish-new`")

    def check_may_write(self) -> None:
        """Refuse a token that may change nothing at all.

        Raises:
            NotAllowed: it is read-only.
        """
        if self.read_only:
            raise NotAllowed(f"the token `{self.token}` may only read; use another one to write")

    def check_may(self, scope: str, ecosystem: str, name: str) -> None:
        """Refuse what the token is not for.

        Raises:
            NotAllowed: read-only, another scope, or another package.
        """
        self.check_may_write()
        if self.scopes and scope not in self.scopes:
            raise NotAllowed(f"the token `{self.token}` lacks the scope `{scope}`")
        if self.packages and not self._covers(ecosystem, name):
            raise NotAllowed(f"the token `{self.token}` is not for the package `{name}`")

    def _covers(self, ecosystem: str, name: str) -> bool:
        wanted = (name, f"{ecosystem}:{name}")
        return any(_matches(one, pattern) for one in wanted for pattern in self.packages)


def _matches(name: str, pattern: str) -> bool:
    # Only a trailing star is special: `[` may stand in no name, but a pattern is user input.
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern
