"""Bundle maps: the bundles of several trust domains in one document (Trust Domain and Bundle, 5).

The rules, with their names in the conformance checklist:

- BND-14: ``trust_domains`` is there, and may be empty. Other members are passed over.
- BND-15, BND-16: no trust domain twice, neither written nor read.
- BND-17, BND-18: a bundle in a map has no refresh hint: none is written, and one that is read is
  forgotten, so that nothing can follow it. The map itself has none in the standard, either: how
  often it is fetched is its reader's own setting.

A map is the state of the world and is taken as a whole or not at all (appendix B.1): one name that
is none, or one bundle that is none, and the map is refused, lest a trust domain vanish because its
bundle could not be read. Single keys that cannot be used are passed over, as in any bundle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from finial.spiffe import strict_json
from finial.spiffe.bundle import reading, writing
from finial.spiffe.bundle.model import Bundle
from finial.spiffe.bundle.source import BundleSet
from finial.spiffe.errors import BundleError, SpiffeIdError, quoted
from finial.spiffe.trust_domain import TrustDomain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_MAP = 16 << 20
"""Bytes in a map, refused above that before anything is decoded."""


class BundleMap(BundleSet):
    """The bundles of a map, each for its own trust domain only; unchangeable.

    Attributes:
        complaints: what was passed over in reading, fit to be logged.

    Raises:
        BundleError: two bundles of one trust domain.
    """

    __slots__ = ("complaints",)

    def __init__(self, bundles: Iterable[Bundle], complaints: tuple[str, ...] = ()) -> None:
        listed = [replace(bundle, refresh_hint=0) for bundle in bundles]  # BND-17, BND-18
        super().__init__(listed)
        if len(self) != len(listed):
            raise BundleError("a trust domain has two bundles in the map")  # BND-15
        self.complaints = complaints

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a map.

        Raises:
            BundleError: larger than 16 MiB, not a JSON object, a name twice, no ``trust_domains``,
                or a trust domain's name or bundle malformed.
        """
        if len(data) > MAX_MAP:
            raise BundleError(f"bundle map is larger than {MAX_MAP} bytes")
        try:
            members = strict_json.read_object(data)  # BND-16
        except ValueError as error:
            raise BundleError(f"bundle map: {error}") from None
        found = members.get("trust_domains")
        if not isinstance(found, dict):
            raise BundleError("bundle map: trust_domains is missing or no object")  # BND-14
        complaints: list[str] = []
        return cls(tuple(_read(found, complaints)), tuple(complaints))

    def to_json(self) -> bytes:
        """Write the map.

        Raises:
            BundleError: a bundle may not be published; see ``Bundle.to_jwks``.
        """
        return writing.to_json(
            {"trust_domains": {str(name): bundle.to_members() for name, bundle in self.items()}}
        )


def _read(found: dict[str, Any], complaints: list[str]) -> Iterator[Bundle]:
    for name, members in found.items():
        try:
            trust_domain = TrustDomain(name)
            document = reading.read_members(members if isinstance(members, dict) else {})
        except (SpiffeIdError, BundleError) as error:
            raise BundleError(f"bundle map: {quoted(name)}: {error}") from None
        complaints.extend(f"{name}: {complaint}" for complaint in document.complaints)
        yield Bundle.from_document(trust_domain, document)
