"""The application of one web process, built after the fork."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from packledger.api.access.attempts import Counters, LoginAttempts, Proxies
from packledger.api.access.auth import Authenticator
from packledger.api.access.hooks import Hooks
from packledger.api.app import create_app
from packledger.api.context import Context
from packledger.api.hot_reads import App
from packledger.api.http.body_budget import BodyBudget
from packledger.api.http.pools import Pool
from packledger.commands.download_counting import DownloadCounter
from packledger.projections.accounts.fold import ACCOUNTS
from packledger.projections.documents import Documents
from packledger.projections.log_tiles.fold import LOG_TILES
from packledger.projections.packuments import reads as packument_reads
from packledger.projections.packuments.fold import PACKUMENTS
from packledger.projections.packuments.form import at_root
from packledger.projections.pages.fold import PAGES
from packledger.projections.search.fold import SEARCH
from packledger.projections.sparse_index import fold as sparse_index
from packledger.projections.sparse_index.fold import SPARSE_INDEX
from packledger.reactions.catalogue import REACTIONS
from packledger.reactions.reaction import Reaction
from packledger.server import wiring
from packledger.server.settings.settings import Settings
from packledger.server.stores import node_of, places_of

COMMAND_THREADS = 8
"""A command waits for the disk and the projector most of its time."""
FILE_THREADS = 16
"""A download takes one for each of its pieces, while the blob store gives it."""
SEARCHES_AT_ONCE = 2
SEARCHES_WAITING = 30
"""Ordinary ones are done in a quarter of a second, the slowest in half a minute."""
UPLOADS_AT_ONCE = 2
NO_HOOKS = Hooks()
Assemble = Callable[[sqlite3.Connection, str], bytes | None]


def build_app(
    settings: Settings, hooks: Hooks = NO_HOOKS, reactions: Sequence[Reaction] = REACTIONS
) -> App:
    """Return the application on a data directory's stores and read models.

    Call it in the process that serves, after any fork. hooks: an embedding program's own say;
    reactions: those that `/health` tells of.
    """
    return create_app(build_context(settings, hooks, reactions))


def build_context(
    settings: Settings, hooks: Hooks = NO_HOOKS, reactions: Sequence[Reaction] = REACTIONS
) -> Context:
    """Return what the application is given; see `build_app`."""
    registry = wiring.open_registry(settings, create=False)
    places = places_of(settings)
    reader = partial(wiring.open_reader, settings, registry.board)
    accounts, index, packages = reader(ACCOUNTS), reader(SPARSE_INDEX), reader(PACKUMENTS)

    def full_packument(db: sqlite3.Connection, name: str) -> bytes | None:
        return packument_reads.full_of(db, name, registry.blobs)

    def rooted(assemble: Assemble) -> Assemble:
        def assemble_rooted(db: sqlite3.Connection, name: str) -> bytes | None:
            body = assemble(db, name)
            if body is None:
                return None
            return at_root(body, packument_reads.public_url_of(db), settings.http.npm_root)

        return assemble_rooted

    packuments = partial(Documents, packages, packument_reads.revision_of)
    abbreviated = packument_reads.abbreviated_of
    return Context(
        registry=registry,
        authenticator=Authenticator(
            accounts,
            registry.credentials,
            registry.now,
            hooks,
            LoginAttempts(Counters(places.run / "attempts")),
            Proxies(settings.http.proxies),
        ),
        accounts=accounts,
        sparse_index=index,
        packuments=packages,
        search=reader(SEARCH),
        pages=reader(PAGES),
        log_tiles=reader(LOG_TILES),
        index_files=Documents(index, sparse_index.revision_of, sparse_index.index_file_of),
        full_packuments=packuments(full_packument),
        abbreviated_packuments=packuments(abbreviated),
        npm_root=settings.http.npm_root,
        rooted_packuments=packuments(rooted(full_packument)),
        rooted_abbreviated_packuments=packuments(rooted(abbreviated)),
        downloads=DownloadCounter(registry, node_of(settings)),
        downloads_flush_s=settings.downloads.flush_s,
        feed="kafka" if settings.brokers.servers else "store",
        witnesses=wiring.witness_keys(settings),
        log_key=wiring.log_key(settings),
        reactions=tuple(one.name for one in reactions),
        policies=hooks.chain(),
        # Settings that were not loaded from anywhere may say both.
        open_registration=settings.access.registration == "open" and not settings.access.private,
        private=settings.access.private,
        commands=ThreadPoolExecutor(COMMAND_THREADS, thread_name_prefix="command"),
        files=ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="file"),
        long_pages=Pool("pages", 2, 60),
        past=Pool("looks into the past", 4, 60),
        searches=Pool("searches", SEARCHES_AT_ONCE, SEARCHES_WAITING),
        bodies=BodyBudget(
            places.run / "bodies", max(settings.limits.crate_bytes, settings.limits.npm_body_bytes)
        ),
        uploads=asyncio.Semaphore(UPLOADS_AT_ONCE),
        spool_folder=str(registry.blobs.spool_folder),
    )
