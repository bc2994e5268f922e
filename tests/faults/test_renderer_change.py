"""A release that renders documents otherwise: `serve` rebuilds by itself behind what it serves."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from documents_served import Documents, Onlooker, Published, asked, documents
from process_tree import ProcessTree, wait_until
from publications import SAID_YES, check_served, publication

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
