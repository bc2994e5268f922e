"""A registry inside a program that hides packages: what is called hidden is there for anna alone.

python hiding_registry.py --data DIR --listen http://127.0.0.1:8765
"""

import argparse
import os

from packledger.api.access.hooks import Hooks
from packledger.domain.accounts.permissions import Identity
from packledger.server.processes.serve import serve
from packledger.server.settings.settings import load


def may_read(identity: Identity | None, ecosystem: str, name: str) -> bool:
    return "hidden" not in name.lower() or (identity is not None and identity.account == "anna")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--listen", action="append")
    serve(load(None, os.environ, vars(parser.parse_args())), Hooks(access=may_read))
