"""JWT-SVIDs: reading, validating and writing tokens.

Belongs here: what a JWT-SVID is beyond any signed token (``finial.spiffe.jose``): its header
(``token``), the rules of validation (``validation``), writing (``encoding``). Holding signing keys
and caching tokens does not.
"""

from finial.spiffe.jose import LEEWAY, ProvenSignatures
from finial.spiffe.jwt_svid.encoding import encode
from finial.spiffe.jwt_svid.svid import JwtSvid
from finial.spiffe.jwt_svid.validation import parse_unverified, validate

__all__ = ["LEEWAY", "JwtSvid", "ProvenSignatures", "encode", "parse_unverified", "validate"]
