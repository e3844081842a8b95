"""SPIFFE IDs (SPIFFE-ID section 2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from finial.spiffe.errors import SpiffeIdError
from finial.spiffe.trust_domain import SCHEME, TrustDomain

MAX_URI = 2048
"""Bytes in a SPIFFE ID: what every implementation takes and none should exceed (section 2.3)."""

_URI = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[a-zA-Z0-9._-]+)*)")
_SEGMENT = re.compile(r"[a-zA-Z0-9._-]+")
_RESERVED = "/spire"
_AGENTS = "/spire/agent/"


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """A SPIFFE ID; a value that exists is valid. Compared, hashed and ordered by its text.

    Scheme and trust domain are taken in lower case only, the path is case-sensitive, and nothing
    is ever percent-decoded or normalised, so equal identities have equal bytes.

    Attributes:
        uri: the whole, ``spiffe://example.org/a/b``.
        trust_domain: the trust domain.
        path: ``""`` or ``/`` followed by segments.

    Raises:
        SpiffeIdError: the text is no SPIFFE ID, or longer than 2048 bytes.
    """

    uri: str
    trust_domain: TrustDomain = field(init=False, compare=False, repr=False)
    path: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        match = _URI.fullmatch(self.uri) if len(self.uri) <= MAX_URI else None
        if match is None:
            raise SpiffeIdError(_complaint(self.uri))
        name, path = match.groups()
        if "/." in path and _has_dot_segment(path):
            raise SpiffeIdError("path cannot contain dot segments")
        object.__setattr__(self, "trust_domain", _trust_domain(name))
        object.__setattr__(self, "path", path)

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read a SPIFFE ID from its text.

        Raises:
            SpiffeIdError: the text is no SPIFFE ID, or longer than 2048 bytes.
        """
        return cls(uri)

    @classmethod
    def of(cls, trust_domain: TrustDomain, path: str) -> Self:
        """Join a trust domain and a path that is empty or begins with a slash.

        Raises:
            SpiffeIdError: the path is malformed, or the whole longer than 2048 bytes.
        """
        if path and not path.startswith("/"):
            raise SpiffeIdError("path must have a leading slash")
        return cls(trust_domain.id_uri + path)

    def member_of(self, trust_domain: TrustDomain) -> bool:
        """Whether the ID lies in the trust domain."""
        return self.trust_domain == trust_domain

    @property
    def is_reserved(self) -> bool:
        """Whether the path is kept for the server's and the agents' own identities."""
        return self.path == _RESERVED or self.path.startswith(_RESERVED + "/")

    @property
    def is_agent(self) -> bool:
        """Whether the path is an agent's."""
        return self.path.startswith(_AGENTS)

    def __str__(self) -> str:
        return self.uri

    def __hash__(self) -> int:
        return hash(self.uri)


@lru_cache(maxsize=256)
def _trust_domain(name: str) -> TrustDomain:
    """Share one object per name: a process sees the same few trust domains all day."""
    return TrustDomain(name)


def _has_dot_segment(path: str) -> bool:
    return any(segment in {".", ".."} for segment in path.split("/"))


def _complaint(uri: str) -> str:
    """Say what is wrong with a text that is known to be no SPIFFE ID."""
    if not uri:
        return "cannot be empty"
    if not uri.startswith(SCHEME):
        return "scheme is missing or invalid"
    if len(uri) > MAX_URI:
        return f"longer than {MAX_URI} bytes"
    name, slash, path = uri.removeprefix(SCHEME).partition("/")
    try:
        TrustDomain(name)
    except SpiffeIdError as error:
        return str(error)
    return _complaint_about_path(slash + path)


def _complaint_about_path(path: str) -> str:
    if path.endswith("/"):
        return "path cannot have a trailing slash"
    for segment in path.split("/")[1:]:
        if not segment:
            return "path cannot contain empty segments"
        if _SEGMENT.fullmatch(segment) is None:
            return "path segments may hold only letters, digits, dots, dashes and underscores"
    return "path cannot contain dot segments"
