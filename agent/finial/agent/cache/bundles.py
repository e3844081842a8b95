"""The bundles the agent holds: its own trust domain's and the federated ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finial.agent.cache import encoding
from finial.spiffe import certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from finial.spiffe.bundle import Bundle
    from finial.spiffe.trust_domain import TrustDomain


@dataclass(frozen=True, slots=True)
class EncodedBundle:
    """A bundle with its part of each Workload API message."""

    bundle: Bundle
    x509_der: bytes
    federated_part: bytes
    x509_part: bytes
    jwt_part: bytes
    wit_part: bytes

    @classmethod
    def of(cls, bundle: Bundle) -> EncodedBundle:
        return cls(
            bundle=bundle,
            x509_der=bundle.x509_der(),
            federated_part=encoding.federated_part(bundle),
            x509_part=encoding.x509_bundle_part(bundle),
            jwt_part=encoding.jwt_bundle_part(bundle),
            wit_part=encoding.wit_bundle_part(bundle),
        )


class Bundles:
    """The current bundles by trust domain; a replacement says what it changed."""

    def __init__(self, own: TrustDomain) -> None:
        self._own = own
        self._encoded: dict[TrustDomain, EncodedBundle] = {}

    @property
    def own(self) -> EncodedBundle | None:
        """The own trust domain's bundle; None before it is first known."""
        return self._encoded.get(self._own)

    def get(self, trust_domain: TrustDomain) -> EncodedBundle | None:
        return self._encoded.get(trust_domain)

    def all(self) -> Iterable[EncodedBundle]:
        """Return all that are held."""
        return self._encoded.values()

    def replace(self, bundles: Mapping[TrustDomain, Bundle]) -> set[TrustDomain]:
        """Hold exactly these bundles from now on; return the trust domains that differ."""
        changed = self._encoded.keys() - bundles.keys()
        kept: dict[TrustDomain, EncodedBundle] = {}
        for trust_domain, bundle in bundles.items():
            before = self._encoded.get(trust_domain)
            if before is not None and before.bundle == bundle:
                kept[trust_domain] = before
                continue
            kept[trust_domain] = EncodedBundle.of(bundle)
            changed.add(trust_domain)
        self._encoded = kept
        return changed

    def federated(self, names: Iterable[TrustDomain]) -> list[EncodedBundle]:
        """Return the held bundles of these trust domains, own one excepted, sorted by name."""
        wanted = sorted(set(names) - {self._own}, key=lambda name: name.name)
        return [encoded for name in wanted if (encoded := self._encoded.get(name)) is not None]


def key_ids(bundle: Bundle) -> frozenset[bytes]:
    """Return the subject key identifiers of the bundle's X.509 authorities."""
    return frozenset(certificate.subject_key_id(each.cert) for each in bundle.x509_authorities)


def tainted_key_ids(bundle: Bundle) -> frozenset[bytes]:
    """Return the subject key identifiers of the bundle's tainted X.509 authorities."""
    return frozenset(
        certificate.subject_key_id(authority.cert)
        for authority in bundle.x509_authorities
        if authority.tainted
    )


def tainted_jwt_key_ids(bundle: Bundle) -> frozenset[str]:
    """Return the key ids of the bundle's tainted JWT authorities."""
    return frozenset(key.key_id for key in bundle.jwt_authorities if key.tainted)


def tainted_wit_key_ids(bundle: Bundle) -> frozenset[str]:
    """Return the key ids of the bundle's tainted WIT authorities."""
    return frozenset(key.key_id for key in bundle.wit_authorities if key.tainted)
