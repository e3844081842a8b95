"""Trust domain names (SPIFFE-ID section 2.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from finial.spiffe.errors import SpiffeIdError

if TYPE_CHECKING:
    from finial.spiffe.spiffe_id import SpiffeId

SCHEME = "spiffe://"
MAX_NAME = 255
"""Bytes in a trust domain name (SPIFFE-ID section 2.3)."""

_NAME = re.compile(r"[a-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True, order=True)
class TrustDomain:
    """A trust domain; a value that exists is valid.

    The name is compared as it stands: one that looks like an IPv4 address or breaks the rules of
    DNS is a name like any other (SPIFFE-ID section 2.1).

    Raises:
        SpiffeIdError: the name is empty, longer than 255 bytes, or has other characters than
            lower case letters, digits, dot, dash and underscore.
    """

    name: str

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise SpiffeIdError(complaint_about_name(self.name))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a bare name or a trust domain's ID: ``example.org``, ``spiffe://example.org``.

        Raises:
            SpiffeIdError: it is neither; an ID with a path is none of a trust domain.
        """
        return cls(text.removeprefix(SCHEME))

    @property
    def id(self) -> SpiffeId:
        """The trust domain's own SPIFFE ID, without a path."""
        from finial.spiffe.spiffe_id import SpiffeId  # noqa: PLC0415  (the two know each other)

        return SpiffeId(self.id_uri)

    @property
    def id_uri(self) -> str:
        """The text of the trust domain's own SPIFFE ID."""
        return SCHEME + self.name

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(self.name)


def complaint_about_name(name: str) -> str:
    """Say what is wrong with a trust domain name that is known to be malformed."""
    if not name:
        return "trust domain is missing"
    if len(name) > MAX_NAME:
        return f"trust domain is longer than {MAX_NAME} bytes"
    return "trust domain may hold only lower case letters, digits, dots, dashes and underscores"
