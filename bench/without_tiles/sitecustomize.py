"""Makes `packledger` one without a transparency log: put this folder on PYTHONPATH."""

import time

from packledger.audit.translog.signer import Signer
from packledger.projections.log_tiles.fold import LogTiles


def _sign_nothing(self, stopping, state):
    while not stopping():
        time.sleep(0.1)


LogTiles.apply = lambda self, db, page: None
Signer.run = _sign_nothing
