"""A registry inside a program that asks somebody else about everything, and waits for so long.

python asking_registry.py --data DIR --listen http://127.0.0.1:8765 --policy-port PORT [--waits-s S]
"""

import argparse
import asyncio
import json
import os

from packledger.api.access.hooks import Hooks
from packledger.domain.accounts.actions import Action, Package, Verdict
from packledger.domain.accounts.caller import Caller
from packledger.server.processes.serve import serve
from packledger.server.settings.settings import load


class Remote:
    """Asks a `PolicyServer`."""

    actions = frozenset(Action)

    def __init__(self, port: int) -> None:
        self._port = port

    async def decide(self, caller: Caller, action: Action, package: Package) -> Verdict:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            account = caller.identity.account if caller.identity else ""
            asked = {"action": action.value, **package._asdict(), "account": account}
            writer.write(json.dumps(asked).encode() + b"\n")
            said = await reader.readline()
        finally:
            writer.close()
        if not said:
            raise ConnectionError("no answer")
        return Verdict(said == b"yes\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--listen", action="append")
    parser.add_argument("--policy-port", type=int)
    parser.add_argument("--waits-s", type=float, default=60.0)
    flags = vars(parser.parse_args())
    remote, waits_s = Remote(flags.pop("policy_port")), flags.pop("waits_s")
    serve(load(None, os.environ, flags), Hooks(policies=(remote,), policy_timeout_s=waits_s))
