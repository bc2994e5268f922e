"""The transparency log's newest checkpoint: in the log's database and backup, one for all nodes.

Whoever writes names the row that it continues, so a second signer is harmless: it loses.
"""

import msgspec

from packledger.eventstore.damaged_log import DamagedLog
from packledger.eventstore.store import CredentialsTable


class CheckpointRow(msgspec.Struct, frozen=True):
    """What is signed and what is served; texts are empty until there is one.

    number: 1 more at every change. signed: the newest checkpoint that left the signer, a signed
    note; published: the one that is served, maybe with cosignatures; vkey: verifies both; refusal:
    why the signer signs no more.
    """

    number: int
    signed: str = ""
    published: str = ""
    vkey: str = ""
    refusal: str = ""


class Checkpoints:
    """One row of one table."""

    def __init__(self, table: CredentialsTable) -> None:
        self._table = table

    def read(self) -> CheckpointRow:
        """Return what is there; number 0 before anything is.

        Raises:
            DamagedLog: it cannot be what was written.
            Unavailable: the database cannot be read.
        """
        row = self._table.one(
            "SELECT number, signed, published, vkey, refusal FROM log_checkpoint WHERE log = ?",
            "log",
        )
        if row is None:
            return CheckpointRow(0)
        if not (row[0].isascii() and row[0].isdigit()):
            raise DamagedLog("the number of the log's checkpoint is none")
        return CheckpointRow(int(row[0]), *row[1:])

    def replace(self, row: CheckpointRow) -> bool:
        """Store the row that follows the one with the number before; return whether it did.

        Durable on return. False: somebody else has continued that one.

        Raises:
            Unavailable: the database cannot be written.
        """
        texts = row.signed, row.published, row.vkey, row.refusal
        if row.number == 1:
            changed = self._table.change(
                "INSERT INTO log_checkpoint (log, number, signed, published, vkey, refusal)"
                " VALUES (?, '1', ?, ?, ?, ?) ON CONFLICT (log) DO NOTHING",
                "log",
                *texts,
            )
        else:
            changed = self._table.change(
                "UPDATE log_checkpoint SET number = ?, signed = ?, published = ?, vkey = ?,"
                " refusal = ? WHERE log = ? AND number = ?",
                str(row.number),
                *texts,
                "log",
                str(row.number - 1),
            )
        # The statement may have run twice: the second time there was nothing left to change.
        return changed == 1 or self.read() == row
