"""A registry inside another program: its own tokens, its own rules about who may do what.

python embedded_registry.py --data DIR --listen http://127.0.0.1:8765
"""

import argparse
import os

from packledger.api.access.hooks import Hooks
from packledger.domain.accounts.permissions import Identity
from packledger.server.processes.serve import serve
from packledger.server.settings.settings import load

# In a real program: a look-up in the company's directory, or the check of a signed token.
TEAM_OF = {"token-of-anna": "anna", "token-of-ben": "ben"}


def authenticate(token: str, method: str, path: str) -> Identity | None:
    """Return who a token is; None leaves it to packledger's own tokens."""
    account = TEAM_OF.get(token)
    if account is None:
        return None
    # Ben may look, not touch: whatever the path, a token of his is read-only.
    return Identity(account=account, token=f"directory:{account}", read_only=account == "ben")


def may_read(identity: Identity | None, ecosystem: str, name: str) -> bool:
    """Hide what is called secret from strangers and from whoever may only look."""
    return "secret" not in name or (identity is not None and not identity.read_only)


def may_publish(identity: Identity | None, ecosystem: str, name: str) -> bool:
    """Keep the scope `@platform` for Anna."""
    return not name.startswith("@platform/") or (
        identity is not None and identity.account == "anna"
    )


def may_unpublish(identity: Identity | None, ecosystem: str, name: str) -> bool:
    """Let nobody remove, yank or deprecate anything."""
    return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("--listen", action="append")
    flags = vars(parser.parse_args())
    serve(
        load(None, os.environ, flags),
        Hooks(
            authenticate=authenticate,
            access=may_read,
            publish=may_publish,
            unpublish=may_unpublish,
        ),
    )
