"""The claims that all tokens here have (RFC 7519 section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finial.spiffe.errors import SpiffeIdError
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from finial.spiffe.jose.token import Kind


def subject(claims: dict[str, Any], kind: Kind) -> SpiffeId:
    """The ``sub`` claim.

    Raises:
        SpiffeError: the kind's: there is none, or it is no SPIFFE ID.
    """
    text = claims.get("sub")
    if not isinstance(text, str) or not text:  # JWT-09, WIT-08
        raise kind.error("token missing subject claim")
    try:
        return SpiffeId(text)
    except SpiffeIdError as error:
        raise kind.error(f"token has an invalid subject claim: {error}") from None


def numeric_date(claims: dict[str, Any], name: str, kind: Kind) -> float | None:
    """A NumericDate (RFC 7519 section 2): a number, fractions allowed; None when absent.

    Raises:
        SpiffeError: the kind's: it is no number.
    """
    value = claims.get(name)
    if value is None:
        return None
    if type(value) is int or type(value) is float:
        return value
    raise kind.error(f"token has an invalid {name} claim")


def expiry(claims: dict[str, Any], kind: Kind) -> float:
    """The ``exp`` claim, Unix seconds.

    Raises:
        SpiffeError: the kind's: there is none, or it is no number.
    """
    expires_at = numeric_date(claims, "exp", kind)
    if expires_at is None:  # JWT-15, WIT-13
        raise kind.error("token missing exp claim")
    return expires_at


def check_times(claims: dict[str, Any], now: float, leeway: float, kind: Kind) -> None:
    """Judge ``exp`` and ``nbf``.

    Raises:
        SpiffeError: the kind's: the token has no ``exp``, has expired or is not valid yet.
    """
    if now - leeway >= expiry(claims, kind):  # JWT-16, WIT-13
        raise kind.error("token has expired")
    not_before = numeric_date(claims, "nbf", kind)
    if not_before is not None and now + leeway < not_before:  # WIT-14
        raise kind.error("token is not valid yet")
