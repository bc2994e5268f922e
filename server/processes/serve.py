"""`packledger serve`: a whole registry, or a whole node of one, under one supervisor."""

from collections.abc import Sequence

from packledger.api.access.hooks import Hooks
from packledger.reactions.catalogue import REACTIONS
from packledger.reactions.reaction import Reaction
from packledger.server import logs
from packledger.server.data_directory import enter
from packledger.server.http.app import NO_HOOKS
from packledger.server.http.gunicorn import announce, run_web_server
from packledger.server.http.listeners import close_listeners, listen_on, with_real_ports
from packledger.server.processes.migrate import prepare_log, prepare_web, show_setup_code
from packledger.server.processes.node import hold_projector, hold_web
from packledger.server.processes.projecting import prepare_read_models, projecting
from packledger.server.processes.reacting import reacting
from packledger.server.processes.signing import check_nothing_lost, signing
from packledger.server.processes.supervisor import Child, Supervisor, end_at_sigterm
from packledger.server.settings.settings import Settings


def serve(
    settings: Settings, hooks: Hooks = NO_HOOKS, reactions: Sequence[Reaction] = REACTIONS
) -> None:
    """Serve a data directory until SIGTERM. hooks, reactions: an embedding program's own.

    Everything that is opened here is closed again before the children are forked: connections to
    databases must not cross.

    Raises:
        RegistryError: another `serve` runs on it, or a port is in use.
    """
    logs.configure(settings.log_level)
    end_at_sigterm()
    enter(settings, creates=True)
    held = [hold_projector(settings, "serve"), hold_web(settings)]
    sockets = listen_on(settings)
    settings = with_real_ports(settings, sockets)
    check_nothing_lost(settings)
    code = prepare_log(settings)
    prepare_web(settings)
    prepare_read_models(settings)
    announce(settings)
    show_setup_code(settings, code)
    children = [
        Child("web", lambda: run_web_server(settings, sockets, hooks, reactions)),
        *projecting(settings, begin=lambda: close_listeners(sockets)),
        *signing(settings, begin=lambda: close_listeners(sockets)),
        *reacting(settings, reactions, begin=lambda: close_listeners(sockets)),
    ]
    Supervisor(children, on_stop=lambda: close_listeners(sockets)).run()
    for lock in held:
        lock.close()
