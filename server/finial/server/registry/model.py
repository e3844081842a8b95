"""The registry's values: frozen, small, and free of protobuf and SQL.

Times are whole Unix seconds, lifetimes whole seconds; 0 stands for "not set" in both.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finial.attestors.selector import Selector
    from finial.spiffe.spiffe_id import SpiffeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A registration entry: the workload with these selectors has this identity.

    `selectors` is sorted and without repetition, `federates_with` holds bare trust domain
    names. `id`, `created_at` and `row` are the store's to give; an empty `id` asks for one.
    """

    spiffe_id: SpiffeId
    parent_id: SpiffeId
    selectors: tuple[Selector, ...]
    id: str = ""
    x509_svid_ttl: int = 0
    jwt_svid_ttl: int = 0
    federates_with: tuple[str, ...] = ()
    admin: bool = False
    downstream: bool = False
    expires_at: int = 0
    dns_names: tuple[str, ...] = ()
    revision_number: int = 0
    store_svid: bool = False
    hint: str = ""
    created_at: int = 0
    disable_x509_svid_prefetch: bool = False
    jwt_svid_include_jti: bool = False
    row: int = 0
    """Pagination key, ascending in order of creation; 0 before the entry is stored."""


UPDATABLE_ENTRY_FIELDS = frozenset(
    {
        "spiffe_id",
        "parent_id",
        "selectors",
        "x509_svid_ttl",
        "jwt_svid_ttl",
        "federates_with",
        "admin",
        "downstream",
        "expires_at",
        "dns_names",
        "store_svid",
        "hint",
        "disable_x509_svid_prefetch",
        "jwt_svid_include_jti",
    }
)
"""What an update may name in its mask: all but what the store gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An attested node. After a renewal both serials are good until the new one is used.

    Serials are decimal strings. A banned agent keeps its record, with both serials emptied.
    """

    id: SpiffeId
    attestation_type: str
    serial_number: str
    expires_at: int
    new_serial_number: str = ""
    new_expires_at: int = 0
    selectors: tuple[Selector, ...] = ()
    can_reattest: bool = False
    agent_version: str = ""
    row: int = 0

    @property
    def banned(self) -> bool:
        return not self.serial_number


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A single-use secret that lets one agent attest before `expires_at`."""

    value: str
    expires_at: int

    def __repr__(self) -> str:
        return f"JoinToken(expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSvid:
    """What was signed for whom; kept until it expires, for inventory and revocation.

    `kind` is "x509", "jwt" or "wit"; `serial_or_jti` is the decimal certificate serial, or the
    token's `jti`, empty where the token carries none.
    """

    kind: str
    serial_or_jti: str
    spiffe_id: str
    expires_at: int
    issued_at: int
    entry_id: str = ""
    agent_id: str = ""


class Match(enum.IntEnum):
    """How a stored set S is compared with a filter's set F; numbers as on the wire."""

    EXACT = 0
    """S equals F."""
    SUBSET = 1
    """S lies within F (and is not empty)."""
    SUPERSET = 2
    """S contains F."""
    ANY = 3
    """S and F have a member in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries to list or count; everything given must hold.

    None does not filter. An empty set raises EmptyFilter; an empty `hint` and a False
    `downstream` do not filter either, as in SPIRE.
    """

    spiffe_id: SpiffeId | None = None
    parent_id: SpiffeId | None = None
    selectors: tuple[Selector, ...] | None = None
    selectors_match: Match = Match.EXACT
    federates_with: tuple[str, ...] | None = None
    federates_with_match: Match = Match.EXACT
    hint: str = ""
    downstream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFilter:
    """Which agents to list or count; everything given must hold, None does not filter."""

    attestation_type: str = ""
    selectors: tuple[Selector, ...] | None = None
    selectors_match: Match = Match.EXACT
    banned: bool | None = None
    can_reattest: bool | None = None
    expires_before: int | None = None
    """Unix seconds, exclusive."""
