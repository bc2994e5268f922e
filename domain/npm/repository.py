"""Where an npm package's source is: shorthand such as `owner/repo`, made what npm makes of it.

npm normalises `repository` when it publishes what it reads itself; archives keep the author's text.
Only the forms that authors use are known here; any other text stays as it is.

Source: https://github.com/npm/hosted-git-info
"""

import re
from urllib.parse import quote

import msgspec

_SEGMENT = r"(?!\.+(?:/|$|#))[A-Za-z0-9_.-]+"
_COMMITTISH = r"(?:#(?P<committish>[A-Za-z0-9_./-]*))?"
_PATH = rf"(?P<user>{_SEGMENT}(?:/{_SEGMENT})*)/(?P<project>{_SEGMENT})"
_SHORTHAND = re.compile(rf"(?![.-])(?P<user>{_SEGMENT})/(?P<project>{_SEGMENT}){_COMMITTISH}")
_SHORTCUT = re.compile(rf"(?P<host>github|gitlab|bitbucket):{_PATH}{_COMMITTISH}")
_GIST = re.compile(rf"gist:(?:{_SEGMENT}/)?(?P<project>{_SEGMENT}){_COMMITTISH}")
_URL = re.compile(
    rf"(?P<scheme>git\+ssh|git\+https|ssh|git|https?)://(?:git@)?(?:www\.)?"
    rf"(?P<domain>github\.com|gitlab\.com|bitbucket\.org)/"
    rf"(?P<user>{_SEGMENT})/(?P<project>{_SEGMENT})"
    rf"(?:/?|/tree/(?P<tree>{_SEGMENT})/?){_COMMITTISH}"
)
_SCP = re.compile(
    r"git@(?P<domain>github\.com|gitlab\.com|bitbucket\.org):"
    rf"(?P<user>{_SEGMENT})/(?P<project>{_SEGMENT}){_COMMITTISH}"
)
_DOMAINS = {
    "github": "github.com",
    "gitlab": "gitlab.com",
    "bitbucket": "bitbucket.org",
    "gist": "gist.github.com",
}
_TREES = {"github.com": "/tree/", "gitlab.com": "/tree/", "bitbucket.org": "/src/"}
MAX_LENGTH = 2048


class _Repository(msgspec.Struct, frozen=True):
    """scheme: as the author wrote it, `https` for a shortcut; user: empty for a gist."""

    domain: str
    user: str
    project: str
    committish: str = ""
    scheme: str = "https"

    @property
    def path(self) -> str:
        return f"{self.user}/{self.project}" if self.user else self.project


def normalise_repository(text: str) -> str:
    """Return the URL that npm publishes for the one in a package.json."""
    found = _parse(text)
    if found is None:
        return text
    place = f"{found.domain}/{found.path}.git"
    url = {
        "https": f"git+https://{place}",
        "git+https": f"git+https://{place}",
        "git": f"git://{place}",
    }.get(found.scheme, f"git+ssh://git@{place}")
    return f"{url}#{found.committish}" if found.committish else url


def repository_page(text: str) -> str:
    """Return the page of a repository that a browser can open; an unknown text as it is."""
    found = _parse(text)
    if found is None:
        return text
    page = f"https://{found.domain}/{found.path}"
    if not found.committish:
        return page
    return page + _TREES.get(found.domain, "/") + quote(found.committish, safe="")


def _parse(text: str) -> _Repository | None:
    if len(text) > MAX_LENGTH:
        return None
    if found := _SHORTHAND.fullmatch(text) or _SHORTCUT.fullmatch(text) or _GIST.fullmatch(text):
        said = found.groupdict()
        domain = _DOMAINS[said.get("host") or ("gist" if found.re is _GIST else "github")]
        return _of(domain, said, "https")
    found = _URL.fullmatch(text) or _SCP.fullmatch(text)
    if found is None:
        return None
    said = found.groupdict()
    domain, scheme = said["domain"], said.get("scheme") or "git+ssh"
    if "@" in text and scheme not in {"ssh", "git+ssh"}:
        return None  # a credential, which npm keeps
    is_github = domain == _DOMAINS["github"]
    if not is_github and (scheme in {"git", "http"} or said.get("tree") or "/#" in f"{text}#"):
        return None  # what npm reads in another way there, or not at all
    return _of(domain, said, scheme)


def _of(domain: str, said: dict[str, str | None], scheme: str) -> _Repository | None:
    project = str(said["project"]).removesuffix(".git")
    if not project:
        return None
    committish = said.get("tree") or said["committish"] or ""
    return _Repository(domain, said.get("user") or "", project, committish, scheme)
