"""The compact form of a token (RFC 7515 section 3.1), before any signature is looked at.

No message quotes the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from finial.spiffe import base64url, strict_json
from finial.spiffe.jose.algorithm import ALGORITHMS, Algorithm

if TYPE_CHECKING:
    from finial.spiffe.errors import SpiffeError

MAX_TOKEN = 16 << 10
"""Bytes in a token, refused above that before anything is decoded; a usual one has some 500."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A profile of tokens.

    Attributes:
        name: as messages have it: JWT, WIT, WPT.
        error: what a fault in such a token is raised as.
    """

    name: str
    error: type[SpiffeError]

    def unparsable(self, reason: str) -> SpiffeError:
        """The error of a token that cannot be taken apart."""
        return self.error(f"unable to parse {self.name} token: {reason}")


class Token(NamedTuple):
    """A token taken apart, its algorithm judged, its signature not.

    (A tuple, because making one is on the way of every validation.)

    Attributes:
        algorithm: one of the nine.
        key_id: the ``kid`` header; empty when there is none, or no text.
        header: the whole header.
        claims: the payload.
        signing_input: what the signature is over.
        signature: the signature.
    """

    algorithm: Algorithm
    key_id: str
    header: dict[str, Any]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def parse(token: str, kind: Kind) -> Token:
    """Take a token apart and judge its algorithm before anything else of it.

    ``typ``, and whether there must be a ``kid``, are for the profile to judge.

    Raises:
        SpiffeError: the kind's: too large, not three parts of base64url, header or payload not a
            JSON object, an algorithm that is not one of the nine, or critical headers (none is
            understood).
    """
    if len(token) > MAX_TOKEN:
        raise kind.unparsable(f"token is larger than {MAX_TOKEN} bytes")
    if not token.isascii():
        raise kind.unparsable("not three parts of base64url")
    signing_input, _, signature_text = token.encode("ascii").rpartition(b".")
    header_text, dot, payload_text = signing_input.partition(b".")
    if not dot or b"." in payload_text:
        raise kind.unparsable("not three parts of base64url")
    header = _read("header", header_text, kind)
    algorithm = _algorithm(header, kind)
    claims = _read("payload", payload_text, kind)
    signature = _decode("signature", signature_text, kind)
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        key_id = ""
    return Token(algorithm, key_id, header, claims, signing_input, signature)


def _algorithm(header: dict[str, Any], kind: Kind) -> Algorithm:
    name = header.get("alg")
    algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None
    if algorithm is None:  # JWT-05, WIT-05
        raise kind.unparsable("unexpected signature algorithm")
    if "crit" in header:  # RFC 7515 section 4.1.11: none is understood; WIT-07
        raise kind.error("token header has critical parameters")
    return algorithm


def _read(part: str, text: bytes, kind: Kind) -> dict[str, Any]:
    data = _decode(part, text, kind)
    try:
        return strict_json.read_object(data)
    except ValueError as error:
        raise kind.unparsable(f"{part}: {error}") from None


def _decode(part: str, text: bytes, kind: Kind) -> bytes:
    try:
        return base64url.decode(text)
    except ValueError as error:
        raise kind.unparsable(f"{part}: {error}") from None
