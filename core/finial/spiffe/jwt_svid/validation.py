"""The rules of JWT-SVID validation (JWT-SVID sections 3 and 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.spiffe.bundle import Bundle
from finial.spiffe.errors import JwtSvidError, quoted
from finial.spiffe.jose import LEEWAY, signature
from finial.spiffe.jose.claims import check_times, expiry, numeric_date, subject
from finial.spiffe.jwt_svid.svid import JwtSvid
from finial.spiffe.jwt_svid.token import KIND, parse

if TYPE_CHECKING:
    from finial.spiffe.bundle import BundleSource
    from finial.spiffe.jose import ProvenSignatures, Token


def validate(
    token: str,
    bundles: BundleSource,
    audience: str,
    now: float,
    leeway: float = LEEWAY,
    *,
    proven: ProvenSignatures | None = None,
) -> JwtSvid:
    """Decide whether a token proves a SPIFFE ID to this audience.

    The invariants:

    - the algorithm is one of the nine, judged before anything else (JWT-05); ``typ``, ``kid``
      (JWT-07, -08);
    - ``sub`` is a SPIFFE ID (JWT-09), ``exp`` is present and not past (JWT-15, -16), ``nbf`` and
      ``iat`` not in the future, ``aud`` names the audience (JWT-11, -12);
    - the key is the one with this ``kid`` among the JWT keys of the bundle of the ``sub``'s own
      trust domain, as the bundle is now (JWT-18, -21, -22), and fits the algorithm (JWT-06);
    - the signature is the key's. This, the dearest, comes last.

    Args:
        token: the token, compact form.
        bundles: where the trust domain's bundle is found.
        audience: the validator's own name; must be among the token's.
        now: Unix seconds.
        leeway: seconds that clocks may differ.
        proven: a memory of signatures verified before; see its argument for being safe.

    Raises:
        JwtSvidError: anything else; no other exception, whatever the text.
    """
    if not audience:
        raise JwtSvidError("audience must be specified")
    parsed = parse(token)
    svid = _read_claims(parsed)
    check_times(parsed.claims, now, leeway, KIND)
    issued_at = numeric_date(parsed.claims, "iat", KIND)
    if issued_at is not None and now + leeway < issued_at:
        raise JwtSvidError("token was issued in the future")
    if audience not in svid.audience:  # JWT-12
        raise JwtSvidError(
            f"expected audience in {_listed((audience,))} (audience={_listed(svid.audience)})"
        )
    authority = signature.find_authority(
        bundles, svid.id.trust_domain, svid.key_id, Bundle.find_jwt_authority, KIND
    )
    signature.check(token, parsed, authority, proven, KIND)
    return svid


def parse_unverified(token: str) -> JwtSvid:
    """Read a token whose issuer is trusted already, as the agent does with its own server's.

    Neither signature nor times nor audience are judged.

    Raises:
        JwtSvidError: malformed, or without ``sub``, ``aud`` or ``exp``.
    """
    return _read_claims(parse(token))


def _read_claims(parsed: Token) -> JwtSvid:
    claims = parsed.claims
    spiffe_id = subject(claims, KIND)
    expires_at = expiry(claims, KIND)
    audience = _audience(claims.get("aud"))
    claims["aud"] = list(audience)
    issued_at = numeric_date(claims, "iat", KIND) or 0
    return JwtSvid(spiffe_id, audience, int(expires_at), int(issued_at), claims, parsed.key_id)


def _audience(value: object) -> tuple[str, ...]:
    """The ``aud`` claim, a string or an array of strings (RFC 7519 section 4.1.3)."""
    if isinstance(value, str):
        return (value,)
    if not value:  # JWT-11: absent, null, empty
        raise JwtSvidError("token missing aud claim")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise JwtSvidError("token has an invalid aud claim")
    return tuple(value)


def _listed(values: tuple[str, ...]) -> str:
    return "[" + " ".join(map(quoted, values)) + "]"
