"""What JWT-SVIDs, WIT-SVIDs and proofs have in common: signed tokens in compact form.

Belongs here: taking a token apart and judging its algorithm (``token``), the nine algorithms
(``algorithm``), claims that all of them have (``claims``), whether a key made the signature
(``signature``), a memory of that (``proven``), writing (``writing``). What a particular profile
demands, and its error, is the profile's: each function here is told the token's ``Kind``.
"""

from finial.spiffe.jose.proven import ProvenSignatures
from finial.spiffe.jose.token import Kind, Token

__all__ = ["LEEWAY", "Kind", "ProvenSignatures", "Token"]

LEEWAY = 60
"""Seconds that clocks may differ, as in SPIRE and go-spiffe (JWT-16, WIT-13)."""
