"""What the page of a version shows, from the rows of the read model."""

import sqlite3
from collections.abc import Callable, Iterable

import msgspec

from packledger.api.web.recipes import REGISTRY, Recipes
from packledger.api.web.words import package_path, safe_url
from packledger.domain.cargo.dependencies import CrateDependency
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import NoSuchPackage, NoSuchVersion
from packledger.domain.npm.repository import repository_page
from packledger.domain.npm.versions import npm_version_key
from packledger.eventstore.damaged_log import misfits_as_damage
from packledger.projections.pages.fold import UNPUBLISHED, PageHead
from packledger.projections.pages.form import CrateDetails, NpmDetails, read_crate, read_npm
from packledger.projections.pages.reads import (
    VersionLine,
    VersionPage,
    package_of,
    shown_version,
    version_of,
    versions_of,
    which_exist,
)

Seen = Callable[[Iterable[str]], frozenset[str]]
"""Packages' own names → those that exist for who looks."""
Local = Callable[[Iterable[str]], frozenset[str]]
"""Names → those that have a page here, for who looks."""


class Dependency(msgspec.Struct, frozen=True):
    """path: of its page here, empty when it is from elsewhere. note: what is special about it."""

    name: str
    requirement: str
    path: str
    note: str = ""


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the template shows of one version. facts: label → text."""

    ecosystem: str
    head: PageHead
    line: VersionLine
    shown: str
    description: str
    keywords: tuple[str, ...]
    facts: dict[str, str]
    links: dict[str, str]
    dependencies: dict[str, list[Dependency]]
    snippets: dict[str, str]
    versions: list[VersionLine]
    readme: str

    @property
    def path(self) -> str:
        """The path of the package's own page."""
        return package_path(self.ecosystem, self.head.name)

    def version_path(self, version: str) -> str:
        """Return the path of a version's page."""
        return package_path(self.ecosystem, self.head.name, version)


def read_package(
    db: sqlite3.Connection,
    recipes: Recipes,
    ecosystem: str,
    name: str,
    version: str,
    seen: Seen,
) -> Package | PageHead:
    """Return a version, the shown one if none is named; the head alone if all were unpublished.

    Any case of letters finds a crate. seen: is asked about its own name, and about those of its
    dependencies.

    Raises:
        NoSuchPackage, NoSuchVersion: there is no such thing, or not for the caller.
        DamagedLog: a version is none, which no command has accepted.
    """
    head = package_of(db, ecosystem, name)
    # About an absent one, too: a policy that cannot be asked must not tell by that what is there.
    if not seen([head.name if head else name]) or head is None:
        raise NoSuchPackage(name)
    versions = versions_of(db, ecosystem, name)
    with misfits_as_damage(f"`{head.name}`"):
        shown = shown_version(head, versions)
    wanted = head.dist_tags.get(version, version) or shown
    page = version_of(db, ecosystem, name, wanted) if wanted else None
    if page is None and ecosystem == NPM:
        page = version_of(db, ecosystem, name, npm_version_key(wanted))
    if page is None:
        if version:
            raise NoSuchVersion(head.name, version)
        return head
    local = _local(db, ecosystem, seen)
    if ecosystem == CARGO:
        return _crate(local, recipes, head, page, shown, versions)
    return _npm(local, recipes, head, page, shown, versions)


def _local(db: sqlite3.Connection, ecosystem: str, seen: Seen) -> Local:
    def local(names: Iterable[str]) -> frozenset[str]:
        found = which_exist(db, ecosystem, names)
        here = seen(found.values())
        return frozenset(name for name, published in found.items() if published in here)

    return local


def _crate(
    local: Local,
    recipes: Recipes,
    head: PageHead,
    page: VersionPage,
    shown: str,
    versions: list[VersionLine],
) -> Package:
    details: CrateDetails = read_crate(page.details)
    version = page.line.version
    exact = head.name if version == shown else f"{head.name}@{version}"
    facts = {
        "License": details.license or (f"see {details.license_file}" * bool(details.license_file)),
        "Rust": f"{details.rust_version} or newer" if details.rust_version else "",
        "Edition": details.edition or "",
    }
    links = {
        "Homepage": safe_url(details.homepage),
        "Documentation": safe_url(details.documentation),
        "Repository": safe_url(details.repository),
    }
    return Package(
        ecosystem=CARGO,
        head=head,
        line=page.line,
        shown=shown,
        description=details.description or "",
        keywords=details.keywords,
        facts=_filled(facts),
        links=_filled(links),
        dependencies=_crate_dependencies(local, details.deps),
        snippets={
            "cargo": f"cargo add {exact} --registry {REGISTRY}",
            "Cargo.toml": recipes.cargo_dependency(head.name, version),
        },
        versions=versions,
        readme=page.readme,
    )


def _crate_dependencies(
    local: Local, deps: tuple[CrateDependency, ...]
) -> dict[str, list[Dependency]]:
    here = local({dep.package or dep.name for dep in deps if not dep.registry})
    titles = {"normal": "Dependencies", "build": "Build dependencies", "dev": "Dev dependencies"}
    groups: dict[str, list[Dependency]] = {title: [] for title in titles.values()}
    for dep in deps:
        name = dep.package or dep.name
        notes = [
            "optional" if dep.optional else "",
            f"on {dep.target}" if dep.target else "",
            f"as {dep.name}" if dep.package else "",
        ]
        path = package_path(CARGO, name) if not dep.registry and name in here else ""
        one = Dependency(name, dep.req, path, ", ".join(filter(None, notes)))
        groups[titles.get(dep.kind, "Dependencies")].append(one)
    return {title: group for title, group in groups.items() if group}


def _npm(
    local: Local,
    recipes: Recipes,
    head: PageHead,
    page: VersionPage,
    shown: str,
    versions: list[VersionLine],
) -> Package:
    details: NpmDetails = read_npm(page.details)
    version = page.line.version
    exact = head.name if version == shown else f"{head.name}@{version}"
    facts = {"License": details.license_text, "Node": details.engines.get("node", "")}
    links = {
        "Homepage": safe_url(details.homepage),
        "Repository": safe_url(repository_page(details.repository.url)),
        "Issues": safe_url(details.bugs.url),
    }
    return Package(
        ecosystem=NPM,
        head=head,
        line=page.line,
        shown=shown,
        description=details.description,
        keywords=details.keywords,
        facts=_filled(facts),
        links=_filled(links),
        dependencies=_npm_dependencies(local, details),
        snippets=recipes.installing(head.name, exact),
        versions=versions,
        readme=page.readme,
    )


def _npm_dependencies(local: Local, details: NpmDetails) -> dict[str, list[Dependency]]:
    groups = {
        "Dependencies": details.dependencies,
        "Peer dependencies": details.peer_dependencies,
        "Optional dependencies": details.optional_dependencies,
    }
    here = local({name for group in groups.values() for name in group})
    return {
        title: [
            Dependency(name, wanted, package_path(NPM, name) if name in here else "")
            for name, wanted in group.items()
        ]
        for title, group in groups.items()
        if group
    }


def _filled(texts: dict[str, str]) -> dict[str, str]:
    return {label: text for label, text in texts.items() if text}


def listed(lines: Iterable[VersionLine]) -> int:
    """Return how many versions can be installed."""
    return sum(line.state != UNPUBLISHED for line in lines)
