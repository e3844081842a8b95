"""Distrust of authorities, as a bundle shows it: pure changes of one bundle.

Kinds are named "x509", "jwt" and "wit". X.509 authorities are known by their subject key identifier
in lower case hex, which several certificates of one key share; keys of tokens by their key ID.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from finial.server.registry.errors import AuthorityNotThere, AuthorityTainted, AuthorityUntainted
from finial.spiffe.bundle import JwtAuthority, WitAuthority, X509Authority

if TYPE_CHECKING:
    from finial.spiffe.bundle import Bundle

A = TypeVar("A", X509Authority, JwtAuthority, WitAuthority)


def tainted(bundle: Bundle, kind: str, authority_id: str) -> Bundle:
    """The bundle with that authority marked.

    Raises:
        AuthorityNotThere, AuthorityTainted: it is not in the bundle, or marked already.
    """

    def marked(authorities: tuple[A, ...]) -> tuple[A, ...]:
        found = _found(authorities, kind, authority_id, revoking=False)
        if all(each.tainted for each in found):
            raise AuthorityTainted(_what(kind))
        return tuple(replace(each, tainted=True) if each in found else each for each in authorities)

    if kind == "x509":
        return replace(bundle, x509_authorities=marked(bundle.x509_authorities))
    if kind == "jwt":
        return replace(bundle, jwt_authorities=marked(bundle.jwt_authorities))
    return replace(bundle, wit_authorities=marked(bundle.wit_authorities))


def revoked(bundle: Bundle, kind: str, authority_id: str) -> Bundle:
    """The bundle without that authority.

    Raises:
        AuthorityNotThere, AuthorityUntainted: it is not in the bundle, or not marked as tainted.
    """

    def without(authorities: tuple[A, ...]) -> tuple[A, ...]:
        found = _found(authorities, kind, authority_id, revoking=True)
        if not all(each.tainted for each in found):
            raise AuthorityUntainted(_what(kind))
        return tuple(each for each in authorities if each not in found)

    if kind == "x509":
        return replace(bundle, x509_authorities=without(bundle.x509_authorities))
    if kind == "jwt":
        return replace(bundle, jwt_authorities=without(bundle.jwt_authorities))
    return replace(bundle, wit_authorities=without(bundle.wit_authorities))


def _found(
    authorities: tuple[A, ...], kind: str, authority_id: str, *, revoking: bool
) -> tuple[A, ...]:
    found = tuple(each for each in authorities if _id_of(each) == authority_id)
    if not found:
        raise AuthorityNotThere(kind, revoking=revoking)
    return found


def _id_of(authority: X509Authority | JwtAuthority | WitAuthority) -> str:
    return authority.authority_id if isinstance(authority, X509Authority) else authority.key_id


def _what(kind: str) -> str:
    return "root CA" if kind == "x509" else "key"
