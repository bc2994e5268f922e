"""What a check of the registry finds wrong."""

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One fault. what: a sentence; affects: who notices; mend: the command, or what to do."""

    what: str
    affects: str
    mend: str
