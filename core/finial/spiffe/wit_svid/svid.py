"""What a WIT-SVID says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from finial.spiffe.public_key import PublicKey
    from finial.spiffe.spiffe_id import SpiffeId


@dataclass(frozen=True, slots=True)
class WitSvid:
    """The claims of a token and the token itself, which proofs are bound to.

    Attributes:
        id: the ``sub`` claim.
        key: the workload's public key, from the ``cnf`` claim.
        proof_algorithm: the name of the algorithm that the workload proves possession with.
        issued_at: the ``iat`` claim, Unix seconds, fractions dropped; 0 when there is none.
        expires_at: the ``exp`` claim, Unix seconds, fractions dropped.
        claims: all claims.
        key_id: the ``kid`` header: which authority signed it.
        token: the token, compact form.
    """

    id: SpiffeId
    key: PublicKey = field(repr=False, compare=False)
    proof_algorithm: str
    issued_at: int
    expires_at: int
    claims: Mapping[str, Any] = field(repr=False, hash=False)
    key_id: str
    token: str = field(repr=False)
