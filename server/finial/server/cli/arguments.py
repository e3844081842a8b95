"""Arguments as the API's messages; each function raises FailureError for what cannot be one."""

import math

from finial.api.spire import types_pb2
from finial.runtime.cli.failure import FailureError
from finial.spiffe import SpiffeError, SpiffeId

INT32_MOST = (1 << 31) - 1


def spiffe_id(uri: str) -> types_pb2.SPIFFEID:
    """The message of a SPIFFE ID's text."""
    try:
        parsed = SpiffeId.parse(uri)
    except SpiffeError as error:
        raise FailureError(str(error)) from None
    return types_pb2.SPIFFEID(trust_domain=parsed.trust_domain.name, path=parsed.path)


def selector(text: str) -> types_pb2.Selector:
    """The message of `type:value`; whether the parts are any good the server says."""
    kind, colon, value = text.partition(":")
    if not colon:
        raise FailureError(f'selector "{text}" must be formatted as type:value')
    return types_pb2.Selector(type=kind, value=value)


def int32(value: int, name: str) -> int:
    """The value, if it fits into 32 bits."""
    if not -INT32_MOST - 1 <= value <= INT32_MOST:
        raise FailureError(f"invalid value for {name}: overflow converting int({value}) to int32")
    return value


def whole_seconds(seconds: float) -> int:
    """A lifetime in whole seconds, rounded up so that a part of one is not none."""
    return int32(math.ceil(seconds), "TTL")


def id_text(message: types_pb2.SPIFFEID) -> str:
    """The text of a SPIFFE ID's message, whatever is in it."""
    return f"spiffe://{message.trust_domain}{message.path}"
