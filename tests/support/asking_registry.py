"""A registry inside a program that asks somebody else about everything, and waits for so long.

python asking_registry.py --data DIR --listen http://127.0.0.1:8765 --policy-port PORT [--waits-s S]
"""

import argparse
import asyncio
import base64
import json
import os

from packledger.api.access.hooks import Hooks
from packledger.api.access.providers import Credential, Kind, Shown
from packledger.commands.tokens import SECRET_PREFIX
from packledger.domain.accounts.actions import Action, Package, Verdict
from packledger.domain.accounts.caller import Caller
from packledger.domain.accounts.permissions import Identity
from packledger.domain.errors import NotAuthenticated
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


class Directory:
    """Knows whoever is called dir-…, by a token of that name or with any password."""

    kinds = frozenset({Kind.TOKEN, Kind.BASIC})

    async def identify(self, credential: Credential, shown: Shown) -> Identity | None:
        name = credential.secret
        if credential.kind is Kind.BASIC:
            name = base64.b64decode(name).decode().partition(":")[0]
        ours = name == "alice" or (name.startswith(SECRET_PREFIX) and "unknown" not in name)
        assert not ours, "a credential of ours was told"
        if not name.startswith("dir-"):
            return None
        match name:
            case "dir-refused":
                raise NotAuthenticated("the directory does not let you in")
            case "dir-broken":
                raise ConnectionError("the directory is away")
            case "dir-silent":
                await asyncio.Event().wait()
        return Identity(account=name, token="directory")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--listen", action="append")
    parser.add_argument("--policy-port", type=int)
    parser.add_argument("--waits-s", type=float, default=60.0)
    flags = vars(parser.parse_args())
    remote, waits_s = Remote(flags.pop("policy_port")), flags.pop("waits_s")
    serve(
        load(None, os.environ, flags),
        Hooks(policies=(remote,), providers=(Directory(),), policy_timeout_s=waits_s),
    )
