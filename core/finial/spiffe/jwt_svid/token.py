"""A JWT-SVID taken apart, its header judged (JWT-SVID section 2)."""

from __future__ import annotations

from finial.spiffe.errors import JwtSvidError
from finial.spiffe.jose import token as compact

KIND = compact.Kind("JWT", JwtSvidError)

_TYPES = frozenset({"JWT", "JOSE"})


def parse(token: str) -> compact.Token:
    """Take a token apart and judge its header: first of all the algorithm.

    Raises:
        JwtSvidError: it is no token with one of the nine algorithms (``jose.token.parse``), its
            ``typ`` is other than JWT and JOSE, or it has no ``kid``.
    """
    parsed = compact.parse(token, KIND)
    typ = parsed.header.get("typ", "JWT")
    if not isinstance(typ, str) or typ not in _TYPES:  # JWT-08
        raise JwtSvidError("token header type not equal to either JWT or JOSE")
    if not parsed.key_id:  # JWT-07
        raise JwtSvidError("token header missing key id")
    return parsed
