"""The read model of the pages against a plain recount of the log."""

import sqlite3
from collections import defaultdict

from hypothesis import given, settings

from histories import histories
from packledger.domain.ecosystems import CARGO, NPM
from packledger.domain.events.cargo import (
    CrateVersionPublished,
    CrateVersionUnyanked,
    CrateVersionYanked,
)
from packledger.domain.events.npm import NpmUnpublished, NpmVersionPublished, NpmVersionUnpublished
from packledger.feeds.feed import Recorded
from packledger.projections.pages.fold import UNPUBLISHED, YANKED, Pages
from packledger.projections.pages.reads import (
    newest,
    package_of,
    shown_version,
    totals_of,
    versions_of,
    which_exist,
)
from packledger.projections.read_model import ReadModel
from small_registry import memory_folder

Lists = dict[tuple[str, str], dict[str, int]]


def recount(log: list[Recorded]) -> tuple[Lists, list[tuple[str, str]]]:
    """Name → version → state, and (name, version) of every publish that is still listed."""
    lists: Lists = defaultdict(dict)
    published: list[tuple[str, str, str]] = []
    for recorded in log:
        match recorded.event:
            case CrateVersionPublished(name=name, version=version):
                lists[CARGO, name][version] = 0
                published.append((CARGO, name, version))
            case NpmVersionPublished(name=name, version=version):
                lists[NPM, name][version] = 0
                published.append((NPM, name, version))
            case CrateVersionYanked(name=name, version=version):
                lists[CARGO, name][version] = YANKED
            case CrateVersionUnyanked(name=name, version=version):
                lists[CARGO, name][version] = 0
            case NpmVersionUnpublished(name=name, version=version):
                lists[NPM, name][version] = UNPUBLISHED
            case NpmUnpublished(name=name):
                lists[NPM, name] = dict.fromkeys(lists[NPM, name], UNPUBLISHED)
            case _:
                pass
    listed = [
        (name, version)
        for ecosystem, name, version in published
        if not lists[ecosystem, name][version]
    ]
    return lists, listed


@settings(max_examples=60, deadline=None)
@given(histories())
def test_the_pages_show_what_a_recount_of_the_log_gives(log: list[Recorded]) -> None:
    lists, listed = recount(log)
    with memory_folder() as folder:
        model = ReadModel(folder / "model.sqlite", Pages())
        model.apply(log)
        check_lists(model.db, lists)
        check_totals(model.db, lists)
        found = [(one.name, one.version) for one in newest(model.db, 1_000)]
        assert found == listed[::-1]
        model.close()


def check_lists(db: sqlite3.Connection, lists: Lists) -> None:
    for (ecosystem, name), versions in lists.items():
        lines = versions_of(db, ecosystem, name.upper() if ecosystem == CARGO else name)
        assert {line.version: line.state for line in lines} == versions
        head = package_of(db, ecosystem, name)
        assert head is not None
        assert head.name == name
        shown = shown_version(head, lines)
        there = [version for version, state in versions.items() if state != UNPUBLISHED]
        assert (shown in there) if there else shown == ""
        if any(state == 0 for state in versions.values()):
            assert versions[shown] == 0
        linked = which_exist(db, ecosystem, [name, "no-such-name"])
        assert linked == ({name: name} if there else {})


def check_totals(db: sqlite3.Connection, lists: Lists) -> None:
    for ecosystem, totals in totals_of(db).items():
        mine = [versions for (one, _), versions in lists.items() if one == ecosystem]
        there = [[state for state in one.values() if state != UNPUBLISHED] for one in mine]
        assert totals.versions == sum(map(len, there))
        assert totals.packages == sum(map(bool, there))
