"""What a JWT-SVID says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.spiffe.spiffe_id import SpiffeId


@dataclass(frozen=True, slots=True)
class JwtSvid:
    """The claims of a token; the token itself, which is a secret, is not kept.

    Attributes:
        id: the ``sub`` claim.
        audience: the ``aud`` claim, at least one value.
        expires_at: the ``exp`` claim, Unix seconds, fractions dropped.
        issued_at: the ``iat`` claim, Unix seconds, fractions dropped; 0 when there is none.
        claims: all claims; ``aud`` is always a list.
        key_id: the ``kid`` header.
    """

    id: SpiffeId
    audience: tuple[str, ...]
    expires_at: int
    issued_at: int
    claims: Mapping[str, Any] = field(repr=False, hash=False)
    key_id: str
