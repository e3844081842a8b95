"""Token and proof together: the one thing that authenticates a workload by a WIT-SVID."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finial.spiffe.jose import LEEWAY
from finial.spiffe.wit_svid.proof import LONGEST_PROOF, NO_COMPANIONS, verify_proof
from finial.spiffe.wit_svid.validation import validate

if TYPE_CHECKING:
    from finial.spiffe.bundle import BundleSource
    from finial.spiffe.jose import ProvenSignatures
    from finial.spiffe.wit_svid.proof import Companions, Proof
    from finial.spiffe.wit_svid.svid import WitSvid


@dataclass(frozen=True, slots=True)
class Presentation:
    """A workload that has proved who it is: its WIT-SVID, and the proof it gave for this request.

    Attributes:
        svid: the WIT-SVID.
        proof: the proof; its ``proof_id`` is what to remember when each may be used but once.
    """

    svid: WitSvid
    proof: Proof


def accept(
    token: str,
    proof: str,
    bundles: BundleSource,
    audience: str,
    now: float,
    *,
    companions: Companions = NO_COMPANIONS,
    leeway: float = LEEWAY,
    longest_life: float | None = None,
    longest_proof: float = LONGEST_PROOF,
    proven: ProvenSignatures | None = None,
) -> Presentation:
    """Decide whether a token and a proof authenticate a workload to this audience (WIT-20, -22).

    Args:
        token: the WIT-SVID: for HTTP the one ``Workload-Identity-Token`` field, never
            ``Authorization``, of a request that came over TLS (WIT-21, -24).
        proof: the proof: for HTTP the one ``Workload-Proof-Token`` field.
        bundles: where the trust domain's bundle is found.
        audience: the relying party's own name: for HTTP the request's target URI.
        now: Unix seconds.
        companions: other tokens of the request, which the proof must cover.
        leeway: seconds that clocks may differ.
        longest_life: seconds that a WIT-SVID may live; any when None.
        longest_proof: seconds that a proof may live.
        proven: a memory of the WIT-SVIDs' signatures; never of the proofs'.

    Raises:
        WitSvidError: anything else; no other exception, whatever the texts.
    """
    svid = validate(token, bundles, now, leeway=leeway, longest_life=longest_life, proven=proven)
    verified = verify_proof(
        proof, svid, audience, now, companions=companions, leeway=leeway, longest=longest_proof
    )
    return Presentation(svid, verified)
