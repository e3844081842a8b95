"""The rules of JWT-SVID validation (JWT-SVID sections 3 and 5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from finial.spiffe import public_key
from finial.spiffe.errors import JwtSvidError, SpiffeIdError
from finial.spiffe.jwt_svid import token as compact
from finial.spiffe.jwt_svid.proven import ProvenSignatures
from finial.spiffe.jwt_svid.svid import JwtSvid
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from finial.spiffe.bundle import BundleSource, JwtAuthority

LEEWAY = 60
"""Seconds that clocks may differ, as in SPIRE and go-spiffe (JWT-16)."""


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
    parsed = compact.parse(token)
    svid = _read_claims(parsed)
    _check_times(parsed.claims, now, leeway)
    if audience not in svid.audience:  # JWT-12
        raise JwtSvidError(
            f"expected audience in {_listed((audience,))} (audience={_listed(svid.audience)})"
        )
    authority = _find_authority(svid, bundles)
    _check_signature(token, parsed, authority, proven)
    return svid


def parse_unverified(token: str) -> JwtSvid:
    """Read a token whose issuer is trusted already, as the agent does with its own server's.

    Neither signature nor times nor audience are judged.

    Raises:
        JwtSvidError: malformed, or without ``sub``, ``aud`` or ``exp``.
    """
    return _read_claims(compact.parse(token))


def _read_claims(parsed: compact.Token) -> JwtSvid:
    claims = parsed.claims
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:  # JWT-09
        raise JwtSvidError("token missing subject claim")
    try:
        spiffe_id = SpiffeId(subject)
    except SpiffeIdError as error:
        raise JwtSvidError(f"token has an invalid subject claim: {error}") from None
    expires_at = _numeric_date(claims, "exp")
    if expires_at is None:  # JWT-15
        raise JwtSvidError("token missing exp claim")
    audience = _audience(claims.get("aud"))
    claims["aud"] = list(audience)
    return JwtSvid(
        spiffe_id, audience, int(expires_at), int(_numeric_date(claims, "iat") or 0), claims,
        parsed.key_id,
    )  # fmt: skip


def _audience(value: object) -> tuple[str, ...]:
    """The ``aud`` claim, a string or an array of strings (RFC 7519 section 4.1.3)."""
    if isinstance(value, str):
        return (value,)
    if not value:  # JWT-11: absent, null, empty
        raise JwtSvidError("token missing aud claim")
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise JwtSvidError("token has an invalid aud claim")
    return tuple(value)


def _check_times(claims: dict[str, Any], now: float, leeway: float) -> None:
    expires_at = _numeric_date(claims, "exp")
    if expires_at is None or now - leeway >= expires_at:  # JWT-16
        raise JwtSvidError("token has expired")
    not_before = _numeric_date(claims, "nbf")
    if not_before is not None and now + leeway < not_before:
        raise JwtSvidError("token is not valid yet")
    issued_at = _numeric_date(claims, "iat")
    if issued_at is not None and now + leeway < issued_at:
        raise JwtSvidError("token was issued in the future")


def _numeric_date(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2): a number, fractions allowed; None when absent."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) is int or type(value) is float:
        return value
    raise JwtSvidError(f"token has an invalid {name} claim")


def _find_authority(svid: JwtSvid, bundles: BundleSource) -> JwtAuthority:
    trust_domain = svid.id.trust_domain
    bundle = bundles.bundle_for(trust_domain)
    if bundle is None or bundle.trust_domain != trust_domain:  # JWT-18
        raise JwtSvidError(f'no JWT bundle found for trust domain "{trust_domain}"')
    authority = bundle.find_jwt_authority(svid.key_id)  # JWT-21, JWT-22
    if authority is None:
        raise JwtSvidError(
            f'no JWT authority {_quoted(svid.key_id)} found for trust domain "{trust_domain}"'
        )
    return authority


def _check_signature(
    token: str,
    parsed: compact.Token,
    authority: JwtAuthority,
    proven: ProvenSignatures | None,
) -> None:
    if not parsed.algorithm.fits(authority.public_key):  # JWT-06
        raise JwtSvidError("token's signature algorithm does not fit the key")
    fact = ProvenSignatures.fact(authority.spki_der, token) if proven is not None else b""
    if proven is not None and proven.knows(fact):
        return
    try:
        public_key.accept(authority.public_key)
    except ValueError as error:
        raise JwtSvidError(f"JWT authority: {error}") from None
    if not parsed.algorithm.verify(authority.public_key, parsed.signature, parsed.signing_input):
        raise JwtSvidError("token has an invalid signature")
    if proven is not None:
        proven.add(fact)


def _listed(values: tuple[str, ...]) -> str:
    return "[" + " ".join(map(_quoted, values)) + "]"


def _quoted(text: str) -> str:
    """Quote a stranger's text: escapes for what does not print, and no end of it."""
    shown = text if len(text) <= 256 else text[:256] + "…"
    return json.dumps(shown)
