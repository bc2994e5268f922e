"""A registry inside a program that hides packages: what is called hidden is there for anna alone.

python hiding_registry.py --data DIR --listen http://127.0.0.1:8765 [--policy]
"""

import argparse
import asyncio
import os

from packledger.api.access.hooks import Hooks
from packledger.domain.accounts.actions import Action, Package, Verdict
from packledger.domain.accounts.caller import Caller
from packledger.domain.accounts.permissions import Identity
from packledger.server.processes.serve import serve
from packledger.server.settings.settings import load


def may_read(identity: Identity | None, ecosystem: str, name: str) -> bool:
    return "hidden" not in name.lower() or (identity is not None and identity.account == "anna")


class Hiding:
    """The same as a policy that answers later."""

    actions = frozenset({Action.READ})

    async def decide(self, caller: Caller, action: Action, package: Package) -> Verdict:
        await asyncio.sleep(0)
        return Verdict(may_read(caller.identity, *package))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--listen", action="append")
    parser.add_argument("--policy", action="store_true")
    flags = vars(parser.parse_args())
    hooks = Hooks(policies=(Hiding(),)) if flags.pop("policy") else Hooks(access=may_read)
    serve(load(None, os.environ, flags), hooks)
