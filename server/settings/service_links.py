"""Variables that Kubernetes gives to every container of a namespace, one set for each Service.

For a Service `packledger` their names begin as our settings do: `PACKLEDGER_PORT` is `tcp://…`.
Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
"""

import re
from ipaddress import ip_address

_NUMBER = r"\d{1,5}"
_URL = rf"(?:tcp|udp|sctp)://\S+:{_NUMBER}"
_PORT = rf"PORT_{_NUMBER}_(?:TCP|UDP|SCTP)"
_FORMS = (
    (rf"SERVICE_PORT(?:_\w+)?|{_PORT}_PORT", _NUMBER),
    (rf"PORT|{_PORT}", _URL),
    (rf"{_PORT}_PROTO", "tcp|udp|sctp"),
)
"""How a name ends, and what its value must be: a mistyped setting looks otherwise."""
_ADDRESS = rf"(?:\w+_)?(?:SERVICE_HOST|{_PORT}_ADDR)"


def is_service_link(name: str, value: str) -> bool:
    """Return whether a variable is of a Service. name: without our prefix."""
    if re.fullmatch(_ADDRESS, name):
        return _is_address(value)
    return any(
        re.fullmatch(rf"(?:\w+_)?(?:{form})", name) and re.fullmatch(wanted, value)
        for form, wanted in _FORMS
    )


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
