"""Whether the right key made a token's signature: its trust domain's, under its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from finial.spiffe import public_key
from finial.spiffe.errors import quoted
from finial.spiffe.jose.proven import ProvenSignatures

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.spiffe.bundle import Bundle, BundleSource
    from finial.spiffe.jose.token import Kind, Token
    from finial.spiffe.public_key import PublicKey
    from finial.spiffe.trust_domain import TrustDomain


class SigningAuthority(Protocol):
    """A key of a bundle: JwtAuthority, WitAuthority."""

    @property
    def public_key(self) -> PublicKey:
        """The key."""
        ...

    @property
    def spki_der(self) -> bytes:
        """The key's SubjectPublicKeyInfo."""
        ...


_A = TypeVar("_A", bound=SigningAuthority)


def find_authority(
    bundles: BundleSource,
    trust_domain: TrustDomain,
    key_id: str,
    find: Callable[[Bundle, str], _A | None],
    kind: Kind,
) -> _A:
    """Find the key of this name in the trust domain's own bundle, as the bundle is now.

    Args:
        bundles: where the bundle is found.
        trust_domain: of the token's subject.
        key_id: the token's ``kid``, compared as it stands (WIT-02).
        find: how a bundle is asked for keys of this kind, and no other.
        kind: of the token.

    Raises:
        SpiffeError: the kind's: no bundle of this trust domain, or no such key in it.
    """
    bundle = bundles.bundle_for(trust_domain)
    if bundle is None or bundle.trust_domain != trust_domain:  # JWT-18
        raise kind.error(f'no {kind.name} bundle found for trust domain "{trust_domain}"')
    authority = find(bundle, key_id)  # JWT-21, JWT-22, WIT-27
    if authority is None:
        raise kind.error(
            f'no {kind.name} authority {quoted(key_id)} found for trust domain "{trust_domain}"'
        )
    return authority


def check(
    text: str,
    token: Token,
    authority: SigningAuthority,
    proven: ProvenSignatures | None,
    kind: Kind,
) -> None:
    """Verify that the authority signed the token, unless that is remembered.

    Args:
        text: the whole token, compact form.
        token: the same, taken apart.
        authority: the key.
        proven: a memory of signatures verified before; see its argument for being safe.
        kind: of the token.

    Raises:
        SpiffeError: the kind's: the algorithm does not fit the key, the key is not one that is
            taken, or it did not make the signature.
    """
    if not token.algorithm.fits(authority.public_key):  # JWT-06
        raise kind.error("token's signature algorithm does not fit the key")
    fact = ProvenSignatures.fact(authority.spki_der, text) if proven is not None else b""
    if proven is not None and proven.knows(fact):
        return
    try:
        public_key.accept(authority.public_key)
    except ValueError as error:
        raise kind.error(f"{kind.name} authority: {error}") from None
    if not token.algorithm.verify(authority.public_key, token.signature, token.signing_input):
        raise kind.error("token has an invalid signature")
    if proven is not None:
        proven.add(fact)
