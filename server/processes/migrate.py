"""What a registry needs once: tables, its public URL in the log, a way to an administrator."""

import logging
import shlex

from packledger.commands.registry import Registry
from packledger.domain.errors import Conflict, NotFound, Unavailable, WrongSchema
from packledger.domain.streams import REGISTRY
from packledger.server import wiring
from packledger.server.settings.settings import Settings

log = logging.getLogger("packledger.migrate")


def prepare_log(settings: Settings) -> str | None:
    """Create what is missing and record the public URL; may be repeated at any time.

    Returns the one-time setup code, which replaces an earlier one, while there is no administrator.
    """
    registry = wiring.open_registry(settings, create=True)
    try:
        wiring.configure(registry)
        return registry.credentials.new_setup_code()
    finally:
        wiring.close_registry(registry)


def show_setup_code(settings: Settings, code: str | None) -> None:
    """Say how the first administrator is made, while there is none."""
    if code is None:
        return
    url = settings.public_url
    print(
        f"\nThere is no administrator yet. One-time setup code: {code}\n"
        f"Open {url}/setup and enter it there, or run on this machine:\n"
        f"  packledger user add NAME --admin --setup-code {code} "
        f"--data {shlex.quote(settings.data)}\n",
        flush=True,
    )


def prepare_web(settings: Settings) -> None:
    """Clean up behind killed uploads, and see whether we may serve.

    Raises:
        NotFound, WrongSchema, Conflict: as `check_migrated`.
    """
    registry = wiring.open_registry(settings, create=False)
    try:
        wiring.sweep_uploads(registry)
        check_migrated(registry)
    finally:
        wiring.close_registry(registry)


def check_migrated(registry: Registry) -> None:
    """Refuse to serve under another public URL than the one that documents name.

    While the store cannot be reached nobody can tell, and reads need nothing of it.

    Raises:
        NotFound, WrongSchema: `migrate` has not been run.
        Conflict: the log has another public URL.
    """
    try:
        state = registry.log.load(REGISTRY).state
    except WrongSchema:
        raise
    except Unavailable as error:
        log.warning("the public URL is not compared with the log: %s", error.sentence)
        return
    if state is None:
        raise NotFound("this registry is not set up yet; run `packledger migrate` once")
    if state.public_url != registry.public_url:
        raise Conflict(
            f"`public_url` is `{registry.public_url}` here and `{state.public_url}` in the log; "
            "set it alike on every node, or record another one with `packledger migrate`"
        )
