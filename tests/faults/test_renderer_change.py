"""A release that renders documents otherwise: `serve` rebuilds by itself behind what it serves."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from documents_served import Documents, Onlooker, Published, asked, documents
from process_tree import ProcessTree, wait_until
from publications import SAID_YES, check_served, publication
from running_registry import PACKLEDGER

OTHER_RELEASE = Path(__file__).with_name("other_release")
MARK = b'"release":"other"'


@contextmanager
def release(folder: Path, published: Published, differs: str = "") -> Iterator[ProcessTree]:
    """Start a release on a copy of the data; differs: "", "renderer" or "schema"."""
    if not folder.exists():
        shutil.copytree(published.data, folder / "data")
    tree = ProcessTree(folder, public_url=published.public_url)
    tree.tokens["alice"] = published.token
    if differs:
        tree.env |= {"OTHER_RELEASE": differs, "PYTHONPATH": other_path(tree.env)}
    try:
        tree.start()
        yield tree
    finally:
        tree.close()


def other_path(env: dict[str, str]) -> str:
    return f"{OTHER_RELEASE}:{env.get('PYTHONPATH', '')}"


def is_other(url: str) -> bool:
    """Whether every document is as the other release renders it."""
    with httpx.Client(base_url=url, timeout=30) as http:
        answers = [http.get(path, headers={"accept": form}) for path, form in asked()]
    return all(answer.status_code == 200 and MARK in answer.content for answer in answers)


def check_differ(before: Documents, after: Documents) -> None:
    for asked_for, (body, etag) in before.items():
        assert after[asked_for][0] != body, asked_for
        assert after[asked_for][1] != etag, asked_for


def test_another_renderer_is_rebuilt_behind_what_is_served(
    published: Published, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    with release(folder, published, "renderer") as tree:
        # Ready at once, with the documents of the release before.
        assert not is_other(tree.direct)
        before = published.documents
        with Onlooker(tree.direct, before, not_yet=False, other=MARK) as onlooker:
            with httpx.Client(base_url=tree.direct, timeout=30) as http:
                late = [publication(kind, f"late-{kind}", "1.0.0") for kind in ("cargo", "npm")]
                for one in late:
                    assert one.put(http, published.token).status_code in SAID_YES
                    check_served(http, one.name, [one])
            wait_until(lambda: is_other(tree.direct), "the new documents are served", 30)
        assert onlooker.wrong == []
        assert onlooker.answers > 100
        after = documents(tree.direct)
        check_differ(published.documents, after)
        with httpx.Client(base_url=tree.direct, timeout=30) as http:
            for one in late:
                check_served(http, one.name, [one])
        tree.cli("rebuild", "--check")
        tree.stop()
        tree.start()
        assert documents(tree.direct) == after
    # And back again: the release before finds the other's documents, and makes its own.
    with release(folder, published) as tree:
        wait_until(lambda: documents(tree.direct) == published.documents, "the old documents", 30)


def test_other_tables_are_rebuilt_while_reads_are_told_to_come_again(
    published: Published, tmp_path: Path
) -> None:
    folder = tmp_path / "registry"
    shutil.copytree(published.data, folder / "data")
    tree = ProcessTree(folder, public_url=published.public_url)
    tree.env |= {"OTHER_RELEASE": "schema", "PYTHONPATH": other_path(tree.env)}
    never: Documents = {key: (b"", "") for key in published.documents}
    with Onlooker(tree.direct, never, other=MARK) as onlooker:
        try:
            tree.start()
            assert is_other(tree.direct), "/health is 200 only when it can be read"
            check_differ(published.documents, documents(tree.direct))
            tree.cli("rebuild", "--check")
        finally:
            tree.close()
    assert onlooker.wrong == []
    assert onlooker.unavailable > 0


def test_verify_before_the_first_serve_of_a_release_says_who_builds_the_read_models(
    published: Published, tmp_path: Path
) -> None:
    shutil.copytree(published.data, tmp_path / "data")
    tree = ProcessTree(tmp_path, public_url=published.public_url)
    tree.env |= {"OTHER_RELEASE": "renderer", "PYTHONPATH": other_path(tree.env)}
    try:
        said = tree.cli("verify", fails=True)
        for name in ("sparse-index", "packuments"):
            assert f"the read model `{name}` is of another release: it was not looked at" in said
            assert f"mend it: packledger rebuild {name}" in said
        assert "`packledger serve` builds it anew" in said
        assert "damaged" not in said
        assert "\n2 faults" in said
        tree.start()
        wait_until(lambda: is_other(tree.direct), "the new documents are served", 30)
        assert "no faults" in tree.cli("verify")
    finally:
        tree.close()


def test_rebuilds_that_are_killed_leave_what_is_served(
    published: Published, tmp_path: Path
) -> None:
    chance = random.Random(os.environ.get("FAULT_SEED", "7"))
    with release(tmp_path / "registry", published) as tree:
        slow = tree.env | {"OTHER_RELEASE": "slow", "PYTHONPATH": other_path(tree.env)}
        with Onlooker(tree.direct, published.documents, not_yet=False) as onlooker:
            for _ in range(5):
                rebuilding = subprocess.Popen(
                    [PACKLEDGER, "rebuild", "--data", str(tree.data)],
                    env=slow,
                    stdout=subprocess.DEVNULL,
                )
                time.sleep(chance.uniform(0.5, 3.5))
                rebuilding.kill()
                rebuilding.wait()
        assert onlooker.wrong == []
        tree.cli("rebuild", "--check")
        tree.cli("rebuild")
        assert documents(tree.direct) == published.documents
        for folder in (tree.data / "read").iterdir():
            assert len([path for path in folder.iterdir() if path.is_dir()]) <= 2


def test_a_service_that_is_killed_while_it_rebuilds_continues(
    published: Published, tmp_path: Path
) -> None:
    chance = random.Random(os.environ.get("FAULT_SEED", "8"))
    with release(tmp_path / "registry", published, "renderer") as tree:
        for _ in range(3):
            time.sleep(chance.uniform(0.1, 2.0))
            tree.kill_everything()
            tree.start()
        wait_until(lambda: is_other(tree.direct), "the new documents are served", 30)
        check_differ(published.documents, documents(tree.direct))
        tree.cli("rebuild", "--check")
