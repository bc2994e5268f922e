"""What may be done to a package, and what a policy says to it."""

from enum import Enum
from typing import NamedTuple

import msgspec


class Action(Enum):
    """Something that is done to a package."""

    READ = "read"
    PUBLISH_NEW = "publish-new"
    PUBLISH_UPDATE = "publish-update"
    YANK = "yank"
    """And to take that back."""
    DEPRECATE = "deprecate"
    UNPUBLISH = "unpublish"
    CHANGE_OWNERS = "change-owners"
    CHANGE_ACCESS = "change-access"
    DIST_TAGS = "dist-tags"
    STARS = "stars"

    @property
    def scope(self) -> str:
        """The scope that a token with scopes needs for it; empty where every token may."""
        return _SCOPES.get(self, self.value)


_SCOPES = {
    Action.READ: "",
    Action.DEPRECATE: "yank",
    Action.UNPUBLISH: "yank",
    Action.CHANGE_ACCESS: "change-owners",
}


class Package(NamedTuple):
    """A crate or an npm package. name: as it was published, or as it was asked for if it is not."""

    ecosystem: str
    name: str


class Question(NamedTuple):
    """Whether something may be done to a package."""

    action: Action
    package: Package


class Verdict(msgspec.Struct, frozen=True):
    """The answer to a question. because: a sentence for the caller, empty for the usual one."""

    allowed: bool
    because: str = ""


ALLOWED = Verdict(True)
