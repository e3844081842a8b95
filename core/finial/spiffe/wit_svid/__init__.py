"""WIT-SVIDs: tokens that name a workload's key, and the proofs that the workload holds it.

Belongs here: what a WIT-SVID is beyond any signed token (``finial.spiffe.jose``): its header
(``token``), the workload's key in it (``confirmation``), its own rules (``validation``), proofs of
possession (``proof``), token and proof together (``acceptance``), writing (``encoding``). Carrying
them in HTTP requests, remembering proofs against replay, and holding keys do not.

A token by itself proves nothing to anybody: a relying party calls ``accept``.
"""

from finial.spiffe.jose import LEEWAY
from finial.spiffe.wit_svid.acceptance import Presentation, accept
from finial.spiffe.wit_svid.confirmation import confirmation
from finial.spiffe.wit_svid.encoding import encode
from finial.spiffe.wit_svid.proof import Companions, Proof, encode_proof, verify_proof
from finial.spiffe.wit_svid.svid import WitSvid
from finial.spiffe.wit_svid.validation import parse_unverified, validate

__all__ = [
    "LEEWAY",
    "Companions",
    "Presentation",
    "Proof",
    "WitSvid",
    "accept",
    "confirmation",
    "encode",
    "encode_proof",
    "parse_unverified",
    "validate",
    "verify_proof",
]
