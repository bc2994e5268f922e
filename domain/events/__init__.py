"""Every event that the log can hold: a module for each kind of stream, which lists its events.

To add one: a struct in its module, a place in the union at that module's end, and what folds it.
"""

from typing import get_args

from packledger.domain.events.accounts import AccountEvent
from packledger.domain.events.cargo import CrateEvent
from packledger.domain.events.event import Event, tag_of
from packledger.domain.events.npm import NpmEvent
from packledger.domain.events.registry import DownloadsCounted, RegistryEvent

AnyEvent = CrateEvent | NpmEvent | AccountEvent | RegistryEvent | DownloadsCounted
EVENTS: dict[str, type[Event]] = {tag_of(event): event for event in get_args(AnyEvent)}
"""Stored type name → event."""
