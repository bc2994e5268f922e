"""What a check of the registry finds wrong."""

import msgspec

REBUILD = "packledger rebuild log-tiles"
RESTORE = "restore the event store from a backup, see docs/OPERATIONS.md"
AUDITORS = "auditors and receipts"
EVERYBODY = "everybody: what clients get may differ from what was published"


class Fault(msgspec.Struct, frozen=True):
    """One fault. what: a sentence; affects: who notices; mend: the command, or what to do."""

    what: str
    affects: str
    mend: str
