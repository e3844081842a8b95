"""The compact form of a token (RFC 7515 section 3.1), before any signature is looked at.

No message quotes the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finial.spiffe import base64url, strict_json
from finial.spiffe.errors import JwtSvidError
from finial.spiffe.jwt_svid.algorithm import ALGORITHMS, Algorithm

MAX_TOKEN = 16 << 10
"""Bytes in a token, refused above that before anything is decoded; a usual one has some 500."""

_TYPES = frozenset({"JWT", "JOSE"})


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart, its header judged, its signature not.

    Attributes:
        algorithm: one of the nine.
        key_id: the ``kid`` header, not empty.
        claims: the payload.
        signing_input: what the signature is over.
        signature: the signature.
    """

    algorithm: Algorithm
    key_id: str
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def parse(token: str) -> Token:
    """Take a token apart and judge its header: first of all the algorithm.

    Raises:
        JwtSvidError: too large, not three parts of base64url, header or payload not a JSON object,
            an algorithm that is not one of the nine, a ``typ`` other than JWT and JOSE, no
            ``kid``, or critical headers (none is understood).
    """
    if len(token) > MAX_TOKEN:
        raise _unparsable(f"token is larger than {MAX_TOKEN} bytes")
    if not token.isascii():
        raise _unparsable("not three parts of base64url")
    raw = token.encode("ascii")
    signing_input, _, signature_text = raw.rpartition(b".")
    header_text, dot, payload_text = signing_input.partition(b".")
    if not dot or b"." in payload_text:
        raise _unparsable("not three parts of base64url")
    algorithm, key_id = _judge_header(_read("header", header_text))
    claims = _read("payload", payload_text)
    return Token(algorithm, key_id, claims, signing_input, _decode("signature", signature_text))


def _judge_header(header: dict[str, Any]) -> tuple[Algorithm, str]:
    name = header.get("alg")
    algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None
    if algorithm is None:  # JWT-05
        raise _unparsable("unexpected signature algorithm")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind not in _TYPES:  # JWT-08
        raise JwtSvidError("token header type not equal to either JWT or JOSE")
    if "crit" in header:  # RFC 7515 section 4.1.11: none is understood
        raise JwtSvidError("token header has critical parameters")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:  # JWT-07
        raise JwtSvidError("token header missing key id")
    return algorithm, key_id


def _read(part: str, text: bytes) -> dict[str, Any]:
    data = _decode(part, text)
    try:
        return strict_json.read_object(data)
    except ValueError as error:
        raise _unparsable(f"{part}: {error}") from None


def _decode(part: str, text: bytes) -> bytes:
    try:
        return base64url.decode(text)
    except ValueError as error:
        raise _unparsable(f"{part}: {error}") from None


def _unparsable(reason: str) -> JwtSvidError:
    return JwtSvidError(f"unable to parse JWT token: {reason}")
