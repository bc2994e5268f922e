"""Every refusal, as a value with one sentence for the user.

    RegistryError
    ├── NotAuthenticated   nobody, or a credential that is not accepted
    ├── NotAllowed         somebody who may not do this
    ├── NotFound           no such crate, package, version, tag, account, token
    ├── Conflict           the registry's state forbids it
    ├── Invalid            the request itself is wrong
    ├── TooLarge           a limit was passed
    ├── TooMany            tried too often in a while
    └── Unavailable        the registry cannot do it now; nothing was changed

A sentence names the offending thing in backticks and says what to do. `api/http/errors.py` alone
knows which HTTP status each branch becomes.
"""


class RegistryError(Exception):
    """A refusal that the user can read."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class NotAuthenticated(RegistryError):
    """The request carries no credential, or one that is not accepted."""


class WrongPassword(NotAuthenticated):
    """The sentence does not say whether it was the name or the password."""

    def __init__(self) -> None:
        super().__init__("incorrect account name or password")


class NotAllowed(RegistryError):
    """The account or the token has no right to do this."""


class NotFound(RegistryError):
    """The thing named does not exist."""


class Conflict(RegistryError):
    """The state of the registry forbids the change."""


class Invalid(RegistryError):
    """The request is wrong in itself."""


class TooLarge(RegistryError):
    """A limit was passed."""


class TooMany(RegistryError):
    """Tried too often in a while. retry_after_s: how long to wait."""

    def __init__(self, what: str, retry_after_s: int) -> None:
        super().__init__(f"{what}; try again in {retry_after_s} seconds")
        self.retry_after_s = retry_after_s


class Unavailable(RegistryError):
    """The registry cannot do this now (disk full, store locked); nothing was changed."""


class WrongSchema(Unavailable):
    """The database was not migrated to the schema of this release; waiting does not help."""


class NameTaken(Conflict):
    """A name that differs only in case, or in `-` against `_`, is in use."""

    def __init__(self, wanted: str, existing: str) -> None:
        super().__init__(
            f"the name `{wanted}` is taken: `{existing}` exists and differs only in case or in "
            f"`-` and `_`; publish as `{existing}` or choose another name"
        )


class VersionExists(Conflict):
    """The version was published before; a version is never replaced."""

    def __init__(self, name: str, version: str, existing: str | None = None) -> None:
        why = "" if existing in {None, version} else f" as `{existing}`"
        super().__init__(
            f"`{name}@{version}` already exists{why}; a published version never changes, "
            "publish a new version number"
        )


class VersionUnpublished(Conflict):
    """The version was published once and removed; its number is used up."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(
            f"`{name}@{version}` was published before and removed; a version number is never "
            "used twice, publish a new one"
        )


class VersionPurged(NotFound):
    """An administrator removed the bytes of the version."""

    def __init__(self, name: str, version: str, reason: str) -> None:
        super().__init__(
            f"the file of `{name}@{version}` was removed from this registry for good: {reason}; "
            "use another version"
        )


class NotOwner(NotAllowed):
    """The account does not own the crate or package."""

    def __init__(self, account: str, name: str) -> None:
        super().__init__(
            f"`{account}` is not an owner of `{name}`; ask one of its owners to add you"
        )


class LastOwner(Conflict):
    """A crate or package keeps at least one owner."""

    def __init__(self, name: str) -> None:
        super().__init__(f"`{name}` must keep at least one owner; add another one first")


class NoSuchPackage(NotFound):
    """No crate or package of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"`{name}` does not exist in this registry")


class NoSuchVersion(NotFound):
    """The crate or package exists, the version does not."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"version not found: `{name}` has no version `{version}`")


class NoSuchOwner(NotFound):
    """Somebody who is to be an owner no more is none."""

    def __init__(self, account: str, name: str) -> None:
        super().__init__(f"`{account}` is no owner of `{name}`")


class NoSuchAccount(NotFound):
    """No account of that name."""

    def __init__(self, account: str) -> None:
        super().__init__(f"there is no account `{account}` in this registry")
