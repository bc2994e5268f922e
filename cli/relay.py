"""`packledger relay`: the one process that copies the log into Kafka."""

import sys

import click

from packledger.cli.options import Data, taking
from packledger.server import logs
from packledger.server.processes.supervisor import StopAsked
from packledger.server.settings.settings import Settings
from packledger.server.stores import kafka_address, opened_store_feed


@click.command()
@taking(Data.LATER)
def relay(settings: Settings) -> None:
    """Copy the log into Kafka, in order and once, until SIGTERM; start it again when it ends.

    A second relay is harmless: whoever came last goes on, the other one ends.
    """
    from packledger.feeds.relay import run_relay

    if not settings.brokers.servers:
        raise click.UsageError("the relay needs `kafka`: set it to the brokers, `HOST:PORT`")
    logs.configure(settings.log_level)
    stop = StopAsked()
    with opened_store_feed(settings) as feed:
        sys.exit(run_relay(feed, kafka_address(settings), stop))
