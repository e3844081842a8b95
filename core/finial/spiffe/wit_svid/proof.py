"""Proofs of possession: Workload Proof Tokens (draft-ietf-wimse-wpt section 2).

A proof is a token that the workload signs with the key that its WIT-SVID names, for one audience,
for seconds or minutes, and bound to that one WIT-SVID.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from finial.spiffe import base64url
from finial.spiffe.errors import WitSvidError
from finial.spiffe.jose import LEEWAY
from finial.spiffe.jose import token as compact
from finial.spiffe.jose.claims import check_times, expiry
from finial.spiffe.jose.writing import compact as write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from finial.spiffe.wit_svid.svid import WitSvid

KIND = compact.Kind("WPT", WitSvidError)
LONGEST_PROOF = 300
"""Seconds that a proof may be valid ahead: "on the order of minutes or seconds"."""

_TYPE = "wpt+jwt"


@dataclass(frozen=True, slots=True)
class Companions:
    """Other tokens that came with the request, and that the proof must then cover.

    Attributes:
        access_token: an OAuth access token; ``ath`` is its hash.
        transaction_token: a Txn-Token; ``tth`` is its hash.
        others: those that convey an identity in header fields of their own, by the field's name in
            lower case; ``oth`` has their hashes.
    """

    access_token: str | None = field(default=None, repr=False)
    transaction_token: str | None = field(default=None, repr=False)
    others: Mapping[str, str] = field(default_factory=dict, repr=False)

    def claims(self) -> dict[str, Any]:
        """The claims of a proof that covers them."""
        named = {"ath": self.access_token, "tth": self.transaction_token}
        claims: dict[str, Any] = {
            name: _digest(token) for name, token in named.items() if token is not None
        }
        if self.others:
            claims["oth"] = {name: _digest(text.strip(" ")) for name, text in self.others.items()}
        return claims


NO_COMPANIONS = Companions()


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof says.

    Attributes:
        proof_id: the ``jti`` claim. A relying party that allows each proof once keeps this, with
            the SPIFFE ID, until `expires_at` and its leeway are past; the WIT-SVID's own ``jti`` is
            no such thing (WIT-12).
        expires_at: the ``exp`` claim, Unix seconds, fractions dropped.
        claims: all claims.
    """

    proof_id: str
    expires_at: int
    claims: Mapping[str, Any] = field(repr=False, hash=False)


def verify_proof(
    proof: str,
    svid: WitSvid,
    audience: str,
    now: float,
    *,
    companions: Companions = NO_COMPANIONS,
    leeway: float = LEEWAY,
    longest: float = LONGEST_PROOF,
) -> Proof:
    """Decide whether a proof shows that its sender holds the key of a WIT-SVID.

    The invariants: the algorithm is the very one that the WIT-SVID names; ``typ`` is wpt+jwt;
    ``wth`` is the hash of this WIT-SVID; ``aud`` is the audience, query and fragment apart; ``exp``
    is present, not past, and not further ahead than `longest` (WIT-23); ``jti`` is present; each
    companion is covered by its hash, and ``oth`` has no entry beyond them; the signature is the
    workload's key's.

    Whether the proof was used before is for the caller to remember, if it wants to.

    Args:
        proof: the proof, compact form.
        svid: a WIT-SVID that was validated.
        audience: the relying party's own name: for HTTP the request's target URI.
        now: Unix seconds.
        companions: the other tokens of the request; what is not among them must not be used to
            decide anything.
        leeway: seconds that clocks may differ.
        longest: seconds from now that ``exp`` may lie ahead, leeway apart.

    Raises:
        WitSvidError: anything else; no other exception, whatever the text.
    """
    if not audience:
        raise WitSvidError("audience must be specified")
    parsed = compact.parse(proof, KIND)
    if str(parsed.header.get("typ")).lower().removeprefix("application/") != _TYPE:
        raise WitSvidError("proof's header type not equal to wpt+jwt")
    if parsed.algorithm.name != svid.proof_algorithm:
        raise WitSvidError("proof's algorithm is not the one that the WIT-SVID names")
    if parsed.claims.get("wth") != _digest(svid.token):
        raise WitSvidError("proof is not of this WIT-SVID")
    _check_audience(parsed.claims.get("aud"), audience)
    check_times(parsed.claims, now, leeway, KIND)
    expires_at = expiry(parsed.claims, KIND)
    if expires_at - now - leeway > longest:
        raise WitSvidError(f"proof lives longer than {longest:g} s")
    proof_id = parsed.claims.get("jti")
    if not isinstance(proof_id, str) or not proof_id:
        raise WitSvidError("proof missing jti claim")
    _check_companions(parsed.claims, companions.claims())
    if not parsed.algorithm.verify(svid.key, parsed.signature, parsed.signing_input):
        raise WitSvidError("proof has an invalid signature")
    return Proof(proof_id, int(expires_at), parsed.claims)


def encode_proof(
    token: str,
    audience: str,
    *,
    proof_id: str,
    expires_at: int,
    algorithm: str,
    sign: Callable[[bytes], bytes],
    companions: Companions = NO_COMPANIONS,
) -> str:
    """Write and sign a proof, as a workload does for each request.

    Args:
        token: the WIT-SVID that goes with it, compact form.
        audience: for whom: the request's target URI; query and fragment are left out.
        proof_id: never used before: 128 random bits.
        expires_at: Unix seconds, soon.
        algorithm: as the WIT-SVID names it.
        sign: signs bytes with the workload's key, giving the form that tokens carry.
        companions: other tokens of the request.
    """
    claims = {
        "aud": _target(audience),
        "exp": expires_at,
        "jti": proof_id,
        "wth": _digest(token),
        **companions.claims(),
    }
    return write({"alg": algorithm, "typ": _TYPE}, claims, sign)


def _check_audience(claimed: object, audience: str) -> None:
    values = claimed if isinstance(claimed, list) else [claimed]
    if not any(isinstance(text, str) and _target(text) == _target(audience) for text in values):
        raise WitSvidError("proof is for another audience")


def _check_companions(claims: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in ("ath", "tth"):
        if name in wanted and claims.get(name) != wanted[name]:
            raise WitSvidError(f"proof does not cover the token of its {name} claim")
    # An entry that is not understood condemns the proof (draft-ietf-wimse-wpt section 2).
    if claims.get("oth", {}) != wanted.get("oth", {}):
        raise WitSvidError("proof does not cover the tokens of its oth claim")


def _target(uri: str) -> str:
    return uri.partition("#")[0].partition("?")[0]


def _digest(token: str) -> str:
    return base64url.encode(sha256(token.encode()).digest())
