"""Commands beside a model, as a hypothesis machine: a registry is asked, and compared."""

import hashlib
import json
import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from packledger.commands import accounts
from packledger.commands.cargo import crates
from packledger.commands.npm import edits as npm_edits
from packledger.domain import streams
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.errors import Conflict, RegistryError
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.event import tag_of
from packledger.domain.events.npm import NpmVersionPublished
from packledger.domain.streams import AnyStream
from packledger.eventstore.blobs.store import MissingBlob
from packledger.eventstore.log import Recorded
from packledger.projections.catalogue import on_every_node
from packledger.projections.packuments.reads import tarball_of
from packledger.projections.search.fold import SEARCH
from packledger.projections.search.reads import search
from packledger.projections.sparse_index.fold import crate_file_of
from registry_model import (
    ADMIN,
    RELEASES_LAST,
    VERSIONS,
    Refusal,
    RegistryModel,
    canonical,
    number,
    one_of,
)
from small_registry import SmallRegistry, memory_folder

PEOPLE = ["alice", "bob", "carol"]
NAMES = [*PEOPLE, "dora"]
ACTORS = ["alice", "alice", "alice", ADMIN, "bob", "carol"]
CRATES = ["demo", "demo", "demo", "Demo", "a-b", "a_b"]
PACKAGES = ["demo", "demo", "demo", "@acme/tool", "Demo"]
TAGS = ["latest", "next", "beta"]
TEXTS = ["one", "other"]
BOOLEANS = [True, False]
WHICH = [*range(100)]
SECRET = "a secret was in it"
COMMANDS: list[tuple[str, list[list[Any]]]] = [
    ("register", [NAMES]),
    ("publish_crate", [ACTORS, CRATES, VERSIONS, TEXTS]),
    ("publish_crate", [ACTORS, CRATES, VERSIONS, TEXTS]),
    ("yank", [ACTORS, CRATES, WHICH, BOOLEANS]),
    ("yank", [ACTORS, CRATES, WHICH, BOOLEANS]),
    ("purge", [ACTORS, ["cargo", "npm"], CRATES, WHICH]),
    ("change_crate_owner", [ACTORS, CRATES, NAMES, BOOLEANS]),
    ("publish_npm", [ACTORS, PACKAGES, VERSIONS, TAGS, TEXTS]),
    ("publish_npm", [ACTORS, PACKAGES, VERSIONS, TAGS, TEXTS]),
    ("publish_npm", [ACTORS, PACKAGES, VERSIONS, TAGS, TEXTS]),
    ("unpublish_version", [ACTORS, PACKAGES, WHICH]),
    ("unpublish_version", [ACTORS, PACKAGES, WHICH]),
    ("unpublish_version", [ACTORS, PACKAGES, WHICH]),
    ("unpublish", [ACTORS, PACKAGES, WHICH]),
    ("set_tag", [ACTORS, PACKAGES, TAGS, WHICH]),
    ("set_tag", [ACTORS, PACKAGES, TAGS, WHICH]),
    ("remove_tag", [ACTORS, PACKAGES, TAGS]),
    ("deprecate", [ACTORS, PACKAGES, WHICH, ["", "old", "bad"]]),
    ("deprecate", [ACTORS, PACKAGES, WHICH, ["", "old", "bad"]]),
    ("set_npm_owners", [ACTORS, PACKAGES, NAMES, [*NAMES, ""]]),
    ("star", [ACTORS, PACKAGES, BOOLEANS]),
    ("go_on_in_another_worker", []),
]


SEEDS = st.integers(0, 2**32)


class Registry(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        self.small = self.open_small(self.opened.enter_context(memory_folder()))
        self.opened.callback(self.small.close)
        for name in PEOPLE:
            actor = self.small.actor(name)
            accounts.register(self.small.registry, actor, name, f"password of {name}")
        self.model = RegistryModel(list(PEOPLE))
        self.log: list[Recorded] = []
        self.digests: dict[tuple[str, str, str], str] = {}

    def open_small(self, folder: Path) -> SmallRegistry:
        """Open the registry to try; another machine tries another one."""
        return SmallRegistry(folder)

    def teardown(self) -> None:
        with self.opened:
            self.look()

    def ask(self, expected: Refusal, command: Callable[[], object]) -> None:
        """Run a command; what is refused must append nothing."""
        before = self.small.log.last_position()
        if expected is None:
            command()
            return
        with pytest.raises(RegistryError) as refusal:
            command()
        assert type(refusal.value) is expected, refusal.value
        assert self.small.log.last_position() == before

    # Commands

    def run_commands(self, seed: int) -> None:
        """Run some commands. From a seed: rules drawn one by one seldom reach a deep state."""
        rng = random.Random(seed)
        for _ in range(rng.randrange(20)):
            name, choices = rng.choice(COMMANDS)
            arguments = [rng.choice(some) for some in choices]
            note(f"{name}({', '.join(map(repr, arguments))})")
            getattr(self, name)(*arguments)
            self._check_log()
            self._check_states()

    def register(self, name: str) -> None:
        expected = Conflict if name in self.model.accounts else None
        if expected is None:
            self.model.accounts.append(name)
        actor, password = self.small.actor(ADMIN), "a password"
        registry = self.small.registry
        self.ask(expected, lambda: accounts.register(registry, actor, name, password))

    def publish_crate(self, by: str, name: str, version: str, text: str) -> None:
        expected = self.model.publish_crate(by, name, version)
        self.ask(expected, lambda: self.small.publish_crate(by, name, version, text))

    def yank(self, by: str, name: str, which: int, yanked: bool) -> None:
        crate = self.model.crates.get(canonical(name))
        version = one_of(crate.yanked if crate else (), which)
        expected = self.model.yank(by, name, version, yanked)
        args = self.small.registry, self.small.caller(by), name, version, yanked
        self.ask(expected, lambda: crates.set_yanked(*args))

    def purge(self, by: str, ecosystem: str, name: str, which: int) -> None:
        small, known = self.small, self.model.versions(ecosystem, name)
        version = one_of(known, which)
        asked = self.model.purge_crate if ecosystem == "cargo" else self.model.purge_npm
        expected = asked(by, name, version)

        def command() -> None:
            assert small.purge(by, ecosystem, name, version, SECRET).kept == {}

        self.ask(expected, command)

    def change_crate_owner(self, by: str, name: str, owner: str, adding: bool) -> None:
        expected = self.model.crate_owner(by, name, owner, adding)
        args = self.small.registry, self.small.caller(by), name
        change = {"add": [owner]} if adding else {"remove": [owner]}
        self.ask(expected, lambda: crates.change_owners(*args, **change))

    def publish_npm(self, by: str, name: str, version: str, tag: str, text: str) -> None:
        expected = self.model.publish_npm(by, name, version, tag)
        self.ask(expected, lambda: self.small.publish_npm(by, name, version, tag, text))

    def unpublish_version(self, by: str, name: str, which: int) -> None:
        package = self.model.packages.get(name)
        if package is None or not package.deprecated:
            return
        version = list(package.deprecated)[which % len(package.deprecated)]
        staying = {
            one: {"version": one, "deprecated": message}
            for one, message in package.deprecated.items()
            if one != version
        }
        rev = f"{self.small.log.load(streams.PACKAGES, name).version}-0"
        expected = self.model.unpublish_version(by, name, version)
        self.ask(expected, lambda: self.small.edit_npm(by, name, {"versions": staying}, rev))

    def unpublish(self, by: str, name: str, which: int) -> None:
        version = self.small.log.load(streams.PACKAGES, name.lower()).version
        is_stale = which % 4 == 0
        rev = f"{version - is_stale}-0"
        expected = self.model.unpublish(by, name, is_stale)
        args = self.small.registry, self.small.caller(by), name, rev
        self.ask(expected, lambda: npm_edits.unpublish(*args))

    def set_tag(self, by: str, name: str, tag: str, which: int) -> None:
        version = self._version_of(name, which)
        expected = self.model.set_tag(by, name, tag, version)
        args = self.small.registry, self.small.caller(by), name, tag, version
        self.ask(expected, lambda: npm_edits.set_tag(*args))

    def remove_tag(self, by: str, name: str, tag: str) -> None:
        expected = self.model.remove_tag(by, name, tag)
        args = self.small.registry, self.small.caller(by), name, tag
        self.ask(expected, lambda: npm_edits.remove_tag(*args))

    def deprecate(self, by: str, name: str, which: int, message: str) -> None:
        package = self.model.packages.get(name)
        version = self._version_of(name, which)
        said = dict(package.deprecated) if package else {}
        said.pop(number(version), None)
        said[version] = message
        versions = {one: {"version": one, "deprecated": text} for one, text in said.items()}
        expected = self.model.deprecate(by, name, version, message)
        self.ask(expected, lambda: self.small.edit_npm(by, name, {"versions": versions}))

    def _version_of(self, name: str, which: int) -> str:
        package = self.model.packages.get(name)
        return one_of(package.deprecated if package else (), which)

    def set_npm_owners(self, by: str, name: str, one: str, other: str) -> None:
        owners = [one, other] if other else []
        expected = self.model.npm_owners(by, name, owners)
        args = self.small.registry, self.small.caller(by), name, owners
        self.ask(expected, lambda: npm_edits.set_owners(*args))

    def star(self, by: str, name: str, starred: bool) -> None:
        package = self.model.packages.get(name)
        if package is not None and (by in package.stars) is starred:
            return
        expected = self.model.star(by, name, starred)
        args = self.small.registry, self.small.caller(by), name, starred
        self.ask(expected, lambda: npm_edits.star(*args))

    def go_on_in_another_worker(self) -> None:
        self.small.switch()

    # Projections

    @rule(seed=SEEDS, page_events=st.integers(1, 5), pages=st.integers(1, 4))
    def project_some(self, seed: int, page_events: int, pages: int) -> None:
        self.run_commands(seed)
        self.small.feed.page_events = page_events
        for _ in range(pages):
            self.small.step()

    @rule(seed=SEEDS)
    def restart_projector(self, seed: int) -> None:
        self.run_commands(seed)
        self.small.reopen_projector()

    @rule(seed=SEEDS, projection=st.sampled_from(on_every_node()))
    def rebuild(self, seed: int, projection: str) -> None:
        self.run_commands(seed)
        assert self.small.rebuild(projection).differences == []

    @rule(seed=SEEDS)
    def read(self, seed: int) -> None:
        self.run_commands(seed)
        self.look()

    def look(self) -> None:
        """Every document that a client can ask for says what the model says."""
        self.small.catch_up()
        self._look_at_crates()
        self._look_at_packages()
        self._look_at_search()
        for projection in on_every_node():
            assert self.small.rebuild(projection, check=True).differences == []

    def _look_at_crates(self) -> None:
        for crate in self.model.crates.values():
            document = self.small.index_files.load(crate.name.lower())
            assert document is not None
            lines = [json.loads(line) for line in document.body.splitlines()]
            assert {line["vers"]: line["yanked"] for line in lines} == crate.yanked
            assert [line["vers"] for line in lines] == list(crate.yanked)
            for line in lines:
                db = self.small.reader("sparse-index").db()
                file = crate_file_of(db, crate.name, line["vers"])
                assert file is not None
                assert file.cksum == line["cksum"]
                assert self._digest("crate", crate.name, line["vers"]) == line["cksum"]
                self._look_at_blob(file.cksum, file.purged, line["vers"] in crate.purged)

    def _look_at_packages(self) -> None:
        for package in self.model.packages.values():
            full, short = (
                json.loads(document.body)
                for documents in (self.small.full, self.small.abbreviated)
                if (document := documents.load(package.name))
            )
            said = {v: one.get("deprecated", "") for v, one in full["versions"].items()}
            assert said == package.deprecated
            assert full["versions"].keys() == short["versions"].keys()
            assert full["dist-tags"] == short["dist-tags"] == package.tags
            assert [one["name"] for one in full["maintainers"]] == package.owners
            assert list(full["users"]) == package.stars
            published = {*package.deprecated, *package.removed}
            assert full["time"].keys() - {"created", "modified", "unpublished"} == published
            assert ("unpublished" in full["time"]) is (not package.deprecated)
            self._look_at_tarballs(package.name, published)

    def _look_at_tarballs(self, name: str, published: set[str]) -> None:
        db = self.small.reader("packuments").db()
        for version in published:
            tarball = tarball_of(db, name, version)
            package = self.model.packages[name]
            purged = version in package.purged
            assert (tarball is not None) is (version in package.deprecated or purged)
            if tarball is not None:
                assert tarball.digest == self._digest("npm", name, version)
                self._look_at_blob(tarball.digest, tarball.purged, purged)

    def _look_at_blob(self, digest: str, said: str, purged: bool) -> None:
        assert said == (SECRET if purged else "")
        if purged:
            with pytest.raises(MissingBlob):
                self.small.blobs.open(digest)
        else:
            assert self.small.blobs.size_bytes(digest) > 0

    def _digest(self, kind: str, name: str, version: str) -> str:
        return self.digests[kind, name.lower(), number(version)]

    def _look_at_search(self) -> None:
        db = self.small.reader(SEARCH).db()
        shown = {
            crate.name: (
                max((v for v, yanked in crate.yanked.items() if not yanked), key=_rank),
                crate.owners,
            )
            for crate in self.model.crates.values()
            if not all(crate.yanked.values())
        }
        hits, total = search(db, CARGO, "", 100)
        assert {hit.name: (hit.summary.version, hit.owners) for hit in hits} == shown
        assert total == len(hits)
        assert {hit.name for hit in search(db, CARGO, "about", 100)[0]} == shown.keys()
        shown = {
            package.name: (package.tags["latest"], package.owners)
            for package in self.model.packages.values()
            if package.deprecated
        }
        hits, total = search(db, NPM, "", 100)
        assert {hit.name: (hit.summary.version, hit.owners) for hit in hits} == shown
        assert {hit.name for hit in search(db, NPM, "about", 100)[0]} == shown.keys()

    # What must always hold

    def _check_log(self) -> None:
        """It grows without gaps, and what is written never changes."""
        log = self.small.log.read(0, 1_000_000)
        assert log[: len(self.log)] == self.log
        assert [one.position for one in log] == list(range(1, len(log) + 1))
        for one in log[len(self.log) :]:
            self._remember_digest(one.event)
        self.log = log

    def _remember_digest(self, event: Any) -> None:
        if isinstance(event, CrateVersionPublished):
            key, digest = ("crate", event.name.lower(), number(event.version)), event.cksum
        elif isinstance(event, NpmVersionPublished):
            key, digest = ("npm", event.name.lower(), number(event.version)), event.tarball
        else:
            return
        assert key not in self.digests, "a version was published twice"
        self.digests[key] = digest
        for blob in {digest, event.readme} - {""}:
            with self.small.blobs.open(blob) as file:
                assert hashlib.sha256(file.read()).hexdigest() == blob

    def _check_states(self) -> None:
        """Replayed state, cached state and model are the same."""
        for key, crate in self.model.crates.items():
            state = self._replayed(streams.CRATES, key)
            assert (state.name, list(state.owners)) == (crate.name, crate.owners)
            assert {one.version: one.yanked for one in state.versions.values()} == crate.yanked
            assert list(state.purged) == crate.purged
            assert state.owners, "a crate keeps an owner"
        for name, package in self.model.packages.items():
            state = self._replayed(streams.PACKAGES, name)
            versions = {one.version: one.deprecated for one in state.versions.values()}
            assert versions == package.deprecated
            assert list(state.removed.values()) == package.removed
            assert list(state.purged) == package.purged
            assert (state.dist_tags, list(state.stars)) == (package.tags, package.stars)
            assert list(state.owners) == package.owners
            assert state.owners, "a package keeps an owner"
            assert set(state.dist_tags.values()) <= versions.keys()
            assert ("latest" in state.dist_tags) is bool(versions)

    def _replayed(self, kind: AnyStream, name: str) -> Any:
        events = [one for one in self.log if _stream_of(one.event) == (kind.stored_as, name)]
        assert [one.version for one in events] == list(range(1, len(events) + 1))
        replayed = kind.fold(None, [one.event for one in events])
        loaded = self.small.log.load(kind, name)
        assert (loaded.version, loaded.state) == (len(events), replayed)
        return replayed


def _stream_of(event: Any) -> tuple[str, str]:
    kind = tag_of(type(event)).partition(".")[0]
    if isinstance(event, BlobPurged):
        kind = "crate" if event.ecosystem == CARGO else event.ecosystem
    name = getattr(event, "name", "").lower()
    return kind, name.replace("-", "_") if kind == "crate" else name


def _rank(version: str) -> int:
    return RELEASES_LAST[version]
