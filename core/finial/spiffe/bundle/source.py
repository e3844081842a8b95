"""Where validation finds the bundle of an ID's own trust domain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from finial.spiffe.bundle.model import Bundle
    from finial.spiffe.trust_domain import TrustDomain


class BundleSource(Protocol):
    """Finds bundles by trust domain. A Bundle is one, a BundleSet is one."""

    def bundle_for(self, trust_domain: TrustDomain) -> Bundle | None:
        """The bundle of exactly this trust domain, or None when it is not known."""
        ...


class BundleSet(Mapping["TrustDomain", "Bundle"]):
    """Bundles of several trust domains, never merged; unchangeable.

    Of several bundles given for one trust domain the last counts.
    """

    __slots__ = ("_bundles",)

    def __init__(self, bundles: Iterable[Bundle] = ()) -> None:
        self._bundles = {bundle.trust_domain: bundle for bundle in bundles}

    def bundle_for(self, trust_domain: TrustDomain) -> Bundle | None:
        """The bundle of exactly this trust domain, or None when it is not known."""
        return self._bundles.get(trust_domain)

    def __getitem__(self, trust_domain: TrustDomain) -> Bundle:
        return self._bundles[trust_domain]

    def __iter__(self) -> Iterator[TrustDomain]:
        return iter(self._bundles)

    def __len__(self) -> int:
        return len(self._bundles)
