"""`packledger serve`: a whole registry, or a whole node of one, under one supervisor."""

from packledger.api.hooks import Hooks
from packledger.cli import logs
from packledger.cli.data_directory import enter
from packledger.cli.listeners import close_listeners, listen_on, with_real_ports
from packledger.cli.log_signing import check_nothing_lost, signing
from packledger.cli.migrate import prepare_log, prepare_web, show_setup_code
from packledger.cli.node import hold_projector, hold_web
from packledger.cli.projecting import prepare_read_models, projecting
from packledger.cli.settings import Settings
from packledger.cli.supervisor import Child, Supervisor, end_at_sigterm
from packledger.cli.web_app import NO_HOOKS
from packledger.cli.web_server import announce, run_web_server


def serve(settings: Settings, hooks: Hooks = NO_HOOKS) -> None:
    """Serve a data directory until SIGTERM. hooks: an embedding program's own say.

    Everything that is opened here is closed again before the children are forked: connections to
    databases must not cross.

    Raises:
        click.ClickException: another `serve` runs on it, or a port is in use.
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
        Child("web", lambda: run_web_server(settings, sockets, hooks)),
        *projecting(settings, begin=lambda: close_listeners(sockets)),
        *signing(settings, begin=lambda: close_listeners(sockets)),
    ]
    Supervisor(children, on_stop=lambda: close_listeners(sockets)).run()
    for lock in held:
        lock.close()
