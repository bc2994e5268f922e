"""Random logs, decided by the domain itself and numbered as a store would number them."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from event_stores import recorded
from packledger.domain import configuration, streams
from packledger.domain.accounts import account
from packledger.domain.accounts.account import SCOPES
from packledger.domain.accounts.actor import Actor
from packledger.domain.cargo import crate
from packledger.domain.cargo.manifest import CrateManifest
from packledger.domain.download_counts import count_events
from packledger.domain.errors import RegistryError
from packledger.domain.events.accounts import SessionBegun, TokenIssued
from packledger.domain.events.blobs import BlobPurged
from packledger.domain.events.cargo import CrateVersionPublished
from packledger.domain.events.event import Event, encode
from packledger.domain.events.npm import NpmSignature, NpmVersionPublished
from packledger.domain.npm import package as npm_package
from packledger.domain.purge import decide_purge_crate, decide_purge_package
from packledger.domain.streams import AnyStream
from packledger.feeds.feed import Recorded

PEOPLE = ["alice", "bob", "carol"]
CRATES = ["demo", "demo", "Other", "a-b"]
PACKAGES = ["demo", "demo", "@acme/tool"]
VERSIONS = ["0.1.0", "1.0.0", "1.0.0+build.1", "1.0.1-rc.1", "2.0.0", "10.0.0"]
Write = Callable[[str, str, Callable[[Any], Sequence[Event]]], None]

_SOMETIMES: list[tuple[str, list[Any], list[Any], list[Any]]] = [
    ("configure", ["http://a", "http://b/c"], [""], [""]),
    ("crate owner", CRATES, PEOPLE, [True, False]),
    ("signing key", ["first", "second", "third"], [True, False], [""]),
    ("sign", PACKAGES, VERSIONS, [""]),
    ("untag", PACKAGES, ["latest", "next"], [""]),
    ("unpublish all", PACKAGES, [""], [""]),
    ("purge crate", CRATES, VERSIONS, [""]),
    ("purge npm", PACKAGES, VERSIONS, ["", "0" * 64]),
    ("account", PEOPLE, ["user", "admin"], [""]),
    ("disable", PEOPLE, [""], [""]),
    ("enable", PEOPLE, [""], [""]),
    ("role", PEOPLE, ["user", "admin"], [""]),
    ("password", PEOPLE, [""], [""]),
    ("sign in", PEOPLE, [0, 1, 2, 3], [""]),
    ("sign out", PEOPLE, [0, 1, 2, 3], [""]),
    ("token", PEOPLE, [0, 1, 2, 3], [""]),
    ("revoke", PEOPLE, [0, 1, 2, 3], [""]),
    ("download", ["cargo:demo", "npm:demo", "npm:gone"], [1, 2, 1000], [""]),
]
_OFTEN: list[tuple[str, list[Any], list[Any], list[Any]]] = [
    ("crate", CRATES, VERSIONS, PEOPLE),
    ("yank", CRATES, VERSIONS, [True, False]),
    ("npm", PACKAGES, VERSIONS, ["latest", "next"]),
    ("npm owners", PACKAGES, PEOPLE, PEOPLE),
    ("tag", PACKAGES, VERSIONS, ["latest", "next"]),
    ("deprecate", PACKAGES, VERSIONS, ["", "old", '"quoted" é\n']),
    ("unpublish", PACKAGES, VERSIONS, [""]),
    ("star", PACKAGES, PEOPLE, [True, False]),
]
_COMMANDS = _SOMETIMES + _OFTEN * 3


class _Author:
    """Decides commands on states in memory; what is refused leaves no event."""

    def __init__(self) -> None:
        self.log: list[Recorded] = []
        self._streams: dict[tuple[AnyStream, str], tuple[int, Any]] = {}

    def _write(self, kind: AnyStream, name: str, decide: Callable[[Any], Sequence[Event]]) -> None:
        version, state = self._streams.get((kind, name), (0, None))
        try:
            events = decide(state)
        except RegistryError:
            return
        for number, event in enumerate(events, version + 1):
            self.log.append(recorded(len(self.log) + 1, number, event, kind, name))
        self._streams[kind, name] = version + len(events), kind.fold(state, events)

    def obey(self, command: tuple[Any, ...]) -> None:
        what, name, one, other = command
        at = f"2026-11-21T10:00:{len(self.log) % 60:02}.000Z"
        actor = Actor(at, "alice", "token", "request", admin=True)
        operator = Actor(at, "")
        match what:
            case "crate" | "yank" | "crate owner" | "purge crate":
                self._crate(what, actor, name, one, other)
            case "configure":
                decide = configuration.decide_configure
                self._write(streams.REGISTRY, "", lambda s: decide(s, operator, name))
            case "signing key":
                first = configuration.decide_first_signing_key
                rotate = configuration.decide_rotate_signing_key
                self._write(
                    streams.REGISTRY,
                    "",
                    lambda s: (
                        first(s, operator, name, f"k-{name}")
                        if one
                        else rotate(s, operator, f"{name} {len(self.log)}", "k", at)
                    ),
                )
            case "download":
                self._write(streams.DOWNLOADS, "n", lambda _: count_events(actor, "n", {name: one}))
            case "account" | "disable" | "enable" | "role" | "password":
                self._account(what, actor, name, one)
            case "token" | "revoke" | "sign in" | "sign out":
                self._credential(what, actor, name, one)
            case _:
                self._npm(what, actor, name, one, other)

    def _crate(self, what: str, actor: Actor, name: str, one: Any, other: Any) -> None:
        stamp = msgspec.structs.replace(actor, by=other if what == "crate" else actor.by)
        change = {"add" if other else "remove": [one]}
        decide: dict[str, Callable[[Any], Sequence[Event]]] = {
            "crate": lambda s: crate.decide_publish(s, stamp, _crate_version(stamp, name, one)),
            "yank": lambda s: crate.decide_yank(s, actor, name, one, other),
            "crate owner": lambda s: crate.decide_owners(s, actor, name, **change),
            "purge crate": lambda s: decide_purge_crate(
                s, actor, _purged(actor, "cargo", name, one)
            ),
        }
        self._write(streams.CRATES, name.lower().replace("-", "_"), decide[what])

    def _account(self, what: str, actor: Actor, name: str, one: Any) -> None:
        decide: dict[str, Callable[[Any], Sequence[Event]]] = {
            "account": lambda s: account.decide_register(s, actor, name, one),
            "disable": lambda s: account.decide_disable(s, actor, name),
            "enable": lambda s: account.decide_enable(s, actor, name),
            "role": lambda s: account.decide_role(s, actor, name, one),
            "password": lambda s: account.decide_password(s, actor, name),
        }
        self._write(streams.ACCOUNTS, name, decide[what])

    def _credential(self, what: str, actor: Actor, name: str, one: int) -> None:
        new = f"{name}-{one}-{len(self.log)}"
        issued = TokenIssued(
            **actor.stamp(), account=name, token_id=new, sha256=new, scopes=SCOPES[:2]
        )
        begun = SessionBegun(
            **actor.stamp(), name=name, session_id=new, sha256=new, expires="2026-11-22T10:00:00Z"
        )
        _, state = self._streams.get((streams.ACCOUNTS, name), (0, None))
        live = list(state.tokens if what == "revoke" else state.sessions) if state else []
        old = live[one % len(live)] if live else ""
        decide: dict[str, Callable[[Any], Sequence[Event]]] = {
            "token": lambda s: account.decide_issue(s, actor, issued),
            "revoke": lambda s: account.decide_revoke(s, actor, name, old),
            "sign in": lambda s: account.decide_begin_session(s, actor, begun),
            "sign out": lambda s: account.decide_end_session(s, actor, name, old),
        }
        self._write(streams.ACCOUNTS, name, decide[what])

    def _npm(self, what: str, actor: Actor, name: str, one: Any, other: Any) -> None:
        decide: dict[str, Callable[[Any], Sequence[Event]]] = {
            "npm": lambda s: npm_package.decide_publish(
                s, actor, _npm_version(actor, name, one), [other]
            ),
            "sign": lambda s: npm_package.decide_sign(s, actor, {one: NpmSignature("k", "sig")}),
            "npm owners": lambda s: npm_package.decide_owners(s, actor, name, [one, other]),
            "tag": lambda s: npm_package.decide_set_tag(s, actor, name, other, one),
            "purge npm": lambda s: decide_purge_package(
                s, actor, _purged(actor, "npm", name, one, other)
            ),
            "untag": lambda s: npm_package.decide_remove_tag(s, actor, name, one),
            "deprecate": lambda s: npm_package.decide_deprecate(s, actor, name, {one: other}),
            "unpublish": lambda s: npm_package.decide_unpublish(s, actor, name, [one]),
            "unpublish all": lambda s: npm_package.decide_unpublish_all(s, actor, name),
            "star": lambda s: npm_package.decide_star(
                s, msgspec.structs.replace(actor, by=one), name, other
            ),
        }
        self._write(streams.PACKAGES, name, decide[what])


def _crate_version(actor: Actor, name: str, version: str) -> CrateVersionPublished:
    manifest = CrateManifest(name=name, version=version, description=f"about {name} {version}")
    return CrateVersionPublished(
        **actor.stamp(),
        name=name,
        version=version,
        cksum=_digest(name, version),
        size_bytes=10,
        manifest=msgspec.Raw(encode(manifest)),
    )


def _npm_version(actor: Actor, name: str, version: str) -> NpmVersionPublished:
    manifest = {"name": name, "version": version, "description": f"about {name}", "keywords": ["k"]}
    return NpmVersionPublished(
        **actor.stamp(),
        name=name,
        version=version,
        tarball=_digest(name, version),
        size_bytes=10,
        shasum="0" * 40,
        integrity="sha512-x",
        file_count=2,
        unpacked_bytes=20,
        manifest=msgspec.Raw(encode(manifest)),
        maintainers=(),
        readme="0" * 64,
        readme_filename="README.md",
        signatures=(NpmSignature("k", "s"),) if version >= "1.0.1" else (),
    )


def _digest(name: str, version: str) -> str:
    return f"{name}{version}".encode().hex().ljust(64, "0")[:64]


def _purged(actor: Actor, ecosystem: str, name: str, version: str, readme: str = "") -> BlobPurged:
    return BlobPurged(
        **actor.stamp(),
        ecosystem=ecosystem,
        name=name,
        version=version,
        digest=_digest(name, version),
        reason="a secret in it",
        readme=readme,
    )


def written(commands: Sequence[tuple[Any, ...]]) -> list[Recorded]:
    """The log that these commands leave."""
    author = _Author()
    for command in commands:
        author.obey(command)
    return author.log


_BEGINNING: list[tuple[Any, ...]] = [
    ("configure", "http://a", "", ""),
    ("account", "alice", "admin", ""),
    ("account", "bob", "user", ""),
    ("token", "bob", 1, ""),
    ("crate", "demo", "1.0.0", "alice"),
    ("crate", "demo", "2.0.0", "alice"),
    ("crate", "Other", "0.1.0", "bob"),
    ("yank", "demo", "1.0.0", True),
    ("npm", "demo", "1.0.0", "latest"),
    ("npm", "demo", "2.0.0", "next"),
    ("npm", "@acme/tool", "0.1.0", "latest"),
    ("deprecate", "demo", "1.0.0", "old"),
    ("crate owner", "demo", "bob", True),
    ("star", "demo", "bob", True),
    ("signing key", "first", True, ""),
    ("sign", "demo", "1.0.0", ""),
    ("crate", "a-b", "0.1.0", "alice"),
    ("purge crate", "a-b", "0.1.0", ""),
    ("npm", "@acme/tool", "1.0.0", "latest"),
    ("purge npm", "@acme/tool", "0.1.0", "0" * 64),
]

EVERYTHING = written(_BEGINNING)
"""A small log with something of every kind in it."""


def histories(max_size: int = 40) -> st.SearchStrategy[list[Recorded]]:
    """Logs of so many commands after some of a fixed beginning, most often after all of it.

    The commands come from a seed: lists of drawn commands repeat themselves too much to reach what
    needs several steps. Shrinking drops commands from the end.
    """
    beginning = st.sampled_from([len(_BEGINNING)] * 5 + [0, 5])
    return st.builds(_history, beginning, st.integers(0, 2**32), st.integers(0, max_size))


def _history(beginning: int, seed: int, size: int) -> list[Recorded]:
    rng = random.Random(seed)
    free = []
    for what, *choices in rng.choices(_COMMANDS, k=size):
        free.append((what, *map(rng.choice, choices)))
    return written([*_BEGINNING[:beginning], *free])


def long_history() -> list[Recorded]:
    """A log of some thousands of events, always the same."""
    rng = random.Random(7)
    author = _Author()
    for number in range(400):
        for at, version in enumerate(VERSIONS):
            author.obey(("crate", f"crate-{number}", version, PEOPLE[at % 3]))
            author.obey(("npm", f"package-{number % 40}", f"{number}.0.{at}", "latest"))
        author.obey(("yank", f"crate-{rng.randrange(number + 1)}", "1.0.0", True))
        author.obey(("tag", f"package-{number % 40}", f"{number}.0.0", "next"))
    return author.log
