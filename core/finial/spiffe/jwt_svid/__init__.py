"""JWT-SVIDs: reading, validating and writing tokens.

Belongs here: the compact form (``token``), the signature algorithms (``algorithm``), the rules of
validation (``validation``), a memory of proven signatures (``proven``), writing (``encoding``).
Holding signing keys and caching tokens does not.
"""

from finial.spiffe.jwt_svid.encoding import encode
from finial.spiffe.jwt_svid.proven import ProvenSignatures
from finial.spiffe.jwt_svid.svid import JwtSvid
from finial.spiffe.jwt_svid.validation import LEEWAY, parse_unverified, validate

__all__ = ["LEEWAY", "JwtSvid", "ProvenSignatures", "encode", "parse_unverified", "validate"]
