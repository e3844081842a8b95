"""The rules of WIT-SVID validation (WIT-SVID sections 2 to 4), all but possession."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.spiffe.bundle import Bundle
from finial.spiffe.errors import WitSvidError
from finial.spiffe.jose import LEEWAY, signature
from finial.spiffe.jose.claims import check_times, expiry, numeric_date, subject
from finial.spiffe.wit_svid.confirmation import read_confirmation
from finial.spiffe.wit_svid.svid import WitSvid
from finial.spiffe.wit_svid.token import KIND, parse

if TYPE_CHECKING:
    from finial.spiffe.bundle import BundleSource
    from finial.spiffe.jose import ProvenSignatures, Token


def validate(
    token: str,
    bundles: BundleSource,
    now: float,
    *,
    leeway: float = LEEWAY,
    longest_life: float | None = None,
    proven: ProvenSignatures | None = None,
) -> WitSvid:
    """Decide whether a trust domain bound a SPIFFE ID to a workload's key, by this token.

    That is all: who sent the token is not said by it, and it **authenticates nobody** until a proof
    of possession was verified, too (WIT-20). A relying party calls ``accept``, which does both.

    The invariants:

    - the algorithm is one of the nine, judged before anything else (WIT-05); ``typ`` is wit+jwt
      (WIT-04), ``kid`` is present (WIT-01), no header is critical (WIT-07);
    - there is no ``aud``: such a token is meant for somebody, and no validator of WIT-SVIDs has a
      name to be meant by (WIT-18, RFC 7519 section 4.1.3; go-spiffe refuses it, too);
    - ``sub`` is a SPIFFE ID (WIT-08), ``exp`` is present and not past (WIT-13), ``nbf`` not in the
      future (WIT-14); ``iat`` limits nothing (WIT-16);
    - the key is the one with this ``kid`` among the WIT keys of the bundle of the ``sub``'s own
      trust domain, as the bundle is now (WIT-27), and fits the algorithm; the signature is the
      key's;
    - ``cnf`` holds a public key, and one of the nine algorithms that fits it (WIT-09, -10): read
      last, when it is known who wrote it.

    Args:
        token: the token, compact form.
        bundles: where the trust domain's bundle is found.
        now: Unix seconds.
        leeway: seconds that clocks may differ.
        longest_life: seconds from ``nbf``, or from now when there is none, to ``exp`` that are
            taken (WIT-15); any when None.
        proven: a memory of signatures verified before; see its argument for being safe.

    Raises:
        WitSvidError: anything else; no other exception, whatever the text.
    """
    parsed = parse(token)
    spiffe_id = subject(parsed.claims, KIND)
    check_times(parsed.claims, now, leeway, KIND)
    if longest_life is not None:
        _check_life(parsed, now, longest_life)
    authority = signature.find_authority(
        bundles, spiffe_id.trust_domain, parsed.key_id, Bundle.find_wit_authority, KIND
    )
    signature.check(token, parsed, authority, proven, KIND)
    return _read_claims(token, parsed)


def parse_unverified(token: str) -> WitSvid:
    """Read a token whose issuer is trusted already, as the agent does with its own server's.

    Neither signature nor times are judged.

    Raises:
        WitSvidError: malformed, with ``aud``, or without ``sub``, ``exp`` or ``cnf``.
    """
    return _read_claims(token, parse(token))


def _read_claims(token: str, parsed: Token) -> WitSvid:
    claims = parsed.claims
    if "aud" in claims:  # WIT-18
        raise WitSvidError("token has an aud claim")
    key, algorithm = read_confirmation(claims)
    return WitSvid(
        id=subject(claims, KIND),
        key=key,
        proof_algorithm=algorithm,
        issued_at=int(numeric_date(claims, "iat", KIND) or 0),
        expires_at=int(expiry(claims, KIND)),
        claims=claims,
        key_id=parsed.key_id,
        token=token,
    )


def _check_life(parsed: Token, now: float, longest: float) -> None:
    not_before = numeric_date(parsed.claims, "nbf", KIND)
    if expiry(parsed.claims, KIND) - (now if not_before is None else not_before) > longest:
        raise WitSvidError(f"token lives longer than {longest:g} s")  # WIT-15
