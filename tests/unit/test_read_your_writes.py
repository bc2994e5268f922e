"""Who was answered sees the change, on every reader, while read models are swapped beneath."""

import threading
from contextlib import closing

from packledger.commands import accounts
from packledger.commands.tokens import TokenWish, issue_token, revoke_token
from packledger.domain.accounts.permissions import LOGIN_SCOPES, OPERATOR
from packledger.projections.accounts.fold import ACCOUNTS
from packledger.projections.accounts.reads import tokens_of
from packledger.projections.board import FAILED
from packledger.projections.catalogue import on_every_node
from packledger.projections.documents import Documents
from packledger.projections.packuments import reads as packument_reads
from packledger.projections.packuments.fold import PACKUMENTS
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SPARSE_INDEX
from small_registry import SmallRegistry, memory_folder


def test_an_acknowledged_change_is_seen_while_generations_are_swapped() -> None:
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        small.catch_up()
        stopping = threading.Event()
        failed: list[str] = []

        def rebuild() -> None:
            while not stopping.is_set():
                for projection in (SPARSE_INDEX, PACKUMENTS):
                    failed.extend(small.rebuild(projection).differences)

        threads = [
            threading.Thread(target=lambda: small.projector.run(stopping.is_set)),
            threading.Thread(target=rebuild),
        ]
        index, packages = small.reader(SPARSE_INDEX), small.reader(PACKUMENTS)
        files = Documents(index, sparse_index.revision_of, sparse_index.index_file_of)
        short = Documents(packages, packument_reads.revision_of, packument_reads.abbreviated_of)
        for thread in threads:
            thread.start()
        try:
            for number in range(60):
                version = f"1.{number}.0"
                small.publish_crate("alice", "demo", version)
                document = files.load("demo")
                assert document is not None
                assert len(document.body.splitlines()) == number + 1
                small.publish_npm("alice", "demo", version)
                document = short.load("demo")
                assert document is not None
                assert b'"%b":{' % version.encode() in document.body
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        assert failed == []
        assert not any(one.failed for one in small.projector.live)


def test_a_token_is_not_said_to_be_refused_while_accounts_stand_still() -> None:
    with memory_folder() as folder, closing(SmallRegistry(folder)) as small:
        registry, board = small.registry, small.registry.board
        board.stop()
        accounts.register(registry, small.actor("alice"), "alice", "password of alice")
        wish = TokenWish(label="t", scopes=LOGIN_SCOPES)
        issue_token(registry, registry.caller(OPERATOR), "alice", wish)
        small.catch_up()
        (row,) = tokens_of(small.reader(ACCOUNTS).db(), "alice")
        board.set_state(ACCOUNTS, FAILED)
        for name in on_every_node():
            if name != ACCOUNTS:  # these go on
                board.set_position(name, small.log.last_position() + 1)
        assert not revoke_token(registry, registry.caller(OPERATOR), row.identity())
        assert board.waiting_for(small.log.last_position()) == [], "nobody waits for what failed"
