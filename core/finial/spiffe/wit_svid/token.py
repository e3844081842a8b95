"""A WIT-SVID taken apart, its header judged (WIT-SVID section 2)."""

from __future__ import annotations

from finial.spiffe.errors import WitSvidError
from finial.spiffe.jose import token as compact

KIND = compact.Kind("WIT", WitSvidError)
TYPE = "wit+jwt"
"""The ``typ`` header, compared as it stands."""


def parse(token: str) -> compact.Token:
    """Take a token apart and judge its header; what is unknown in it is passed over (WIT-07).

    Raises:
        WitSvidError: it is no token with one of the nine algorithms (``jose.token.parse``), its
            ``typ`` is another or missing, or it has no ``kid``.
    """
    parsed = compact.parse(token, KIND)
    if parsed.header.get("typ") != TYPE:  # WIT-04
        raise WitSvidError("token header type not equal to wit+jwt")
    if not parsed.key_id:  # WIT-01
        raise WitSvidError("token header missing key id")
    return parsed
