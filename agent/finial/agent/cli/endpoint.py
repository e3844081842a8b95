"""The Workload API's address in the environment (SPIFFE Workload Endpoint section 4)."""

import re
from ipaddress import ip_address
from urllib.parse import unquote

from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.sockets import UNIX

VARIABLE = "SPIFFE_ENDPOINT_SOCKET"

_PATH = re.compile(r"(?://)?(/(?!/)[^?#]*)")
_PLACE = re.compile(r"//(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")


def target(address: str) -> str:
    """The gRPC target of an address: `unix:///run/agent.sock`, `tcp://127.0.0.1:8000`.

    Raises FailureError for another scheme, or for a part that an address has not: of `unix` a path
    is all, of `tcp` an IP address and a port.
    """
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        return _unix(rest)
    if scheme == "tcp":
        return _tcp(rest)
    raise _bad("must begin with unix: or tcp:")


def _unix(rest: str) -> str:
    match = _PATH.fullmatch(rest)
    path = unquote(match[1]) if match else ""
    if not path or "\0" in path:
        raise _bad("must be an absolute path and no more, such as unix:///run/agent.sock")
    return f"{UNIX}{path}"


def _tcp(rest: str) -> str:
    complaint = "must be an IP address, a port and no more, such as tcp://127.0.0.1:8000"
    match = _PLACE.fullmatch(rest)
    if match is None:
        raise _bad(complaint)
    v6, v4, port = match.groups()
    try:
        host = ip_address(v6 or v4)
    except ValueError:
        raise _bad(complaint) from None
    if host.version != (6 if v6 else 4) or not 0 < int(port) < 1 << 16:
        raise _bad(complaint)
    return f"[{host}]:{port}" if v6 else f"{host}:{port}"


def _bad(complaint: str) -> FailureError:
    return FailureError(f"{VARIABLE} {complaint}")
