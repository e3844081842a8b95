"""What `x509 mint`, `jwt mint` and `wit mint` have in common."""

import time

from finial.runtime.cli.client import Call
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.times import rfc3339
from finial.spiffe import SpiffeError, SpiffeId


def wanted_id(call: Call) -> SpiffeId:
    """The SPIFFE ID asked for; raises FailureError."""
    uri = call.values.text("spiffeID")
    if not uri:
        raise FailureError("spiffeID must be specified")
    try:
        return SpiffeId.parse(uri)
    except SpiffeError as error:
        raise FailureError(str(error)) from None


def warn_if_capped(call: Call, kind: str, asked_at: float, expires_at: int) -> None:
    """Say on standard error when the server granted less than -ttl.

    The server counts whole seconds from a moment after `asked_at` (Unix seconds), so that an
    earlier end than that is a cap and never a matter of rounding.
    """
    ttl = call.values.seconds("ttl")
    if ttl > 0 and expires_at < int(asked_at + ttl):
        call.console.warn(
            f"{kind} lifetime was capped shorter than specified ttl; "
            f'expires "{rfc3339(expires_at)}"'
        )


def wall_time() -> float:
    """Unix seconds now."""
    return time.time()
