"""Writing tokens in compact form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from finial.spiffe import base64url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def compact(
    header: Mapping[str, Any], claims: Mapping[str, Any], sign: Callable[[bytes], bytes]
) -> str:
    """Write and sign a token; header and claims as they stand.

    Args:
        header: the JOSE header.
        claims: the payload.
        sign: signs bytes and gives the signature in the form that tokens carry, for ECDSA r and s
            one after the other (``algorithm.EcAlgorithm.sign``).
    """
    signing_input = f"{_part(header)}.{_part(claims)}"
    return f"{signing_input}.{base64url.encode(sign(signing_input.encode()))}"


def _part(members: Mapping[str, Any]) -> str:
    return base64url.encode(json.dumps(dict(members), separators=(",", ":")).encode())
