"""Domain values to rows and back.

Values that many rows share (parents, sets of selectors) are made once and shared in memory.
"""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from finial.attestors.selector import Selector
from finial.server.registry.model import Agent, Entry
from finial.spiffe.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy import Row

    T = TypeVar("T")
    Decode = Callable[[Any], T | None]

UNREADABLE = (TypeError, ValueError, LookupError, AttributeError, RecursionError)
"""What decoding raises for a row that nobody here has written."""

_MOST_SAID = 300
"""Characters of what is wrong with a row."""

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_SHARED = 8192
_shared_id = lru_cache(maxsize=_SHARED)(SpiffeId.parse)


def selectors_text(selectors: Iterable[Selector]) -> str:
    """Write a set of selectors so that equal sets have equal texts."""
    return _dump([(s.type, s.value) for s in sorted(set(selectors))])


@lru_cache(maxsize=_SHARED)
def _selectors(text: str) -> tuple[Selector, ...]:
    return tuple(_shared_selector(kind, value) for kind, value in json.loads(text))


@lru_cache(maxsize=_SHARED)
def _shared_selector(kind: str, value: str) -> Selector:
    if not isinstance(value, str):
        raise TypeError("a selector's value is not a text")
    return Selector(sys.intern(kind), value)


def names_text(names: Iterable[str]) -> str:
    """Write a sequence of names."""
    return _dump(list(names))


@lru_cache(maxsize=_SHARED)
def _names(text: str) -> tuple[str, ...]:
    names = json.loads(text)
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise TypeError("not a list of names")
    return tuple(names)


def similarity_of(spiffe_id: SpiffeId, parent_id: SpiffeId, selectors: str) -> str:
    """Return a digest that entries share if and only if SPIRE would call them similar.

    One indexed look-up finds a similar entry, however many stand under the same parent.
    """
    text = f"{spiffe_id.uri}\n{parent_id.uri}\n{selectors}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def leaving_out(kind: str, decode: Decode[T], left_out: list[str]) -> Decode[T]:
    """Return `decode` for rows of which some may be unreadable; what these are is noted.

    Bytes in a row are a text that is not UTF-8: no column is of them.
    """

    def attempt(row: Any) -> T | None:
        try:
            if any(isinstance(column, bytes) for column in row):
                raise TypeError("a text is not UTF-8")
            return decode(row)
        except UNREADABLE as error:
            left_out.append(f"{kind} in row {row[0]}: {error}"[:_MOST_SAID])
            return None

    return attempt


def entry_row(entry: Entry) -> dict[str, Any]:
    """Return the columns of an entry."""
    selectors = selectors_text(entry.selectors)
    return {
        "row": entry.row,
        "entry_id": entry.id,
        "spiffe_id": entry.spiffe_id.uri,
        "parent_id": entry.parent_id.uri,
        "selectors": selectors,
        "selector_count": len(entry.selectors),
        "similarity": similarity_of(entry.spiffe_id, entry.parent_id, selectors),
        "x509_svid_ttl": entry.x509_svid_ttl,
        "jwt_svid_ttl": entry.jwt_svid_ttl,
        "federates_with": names_text(entry.federates_with),
        "federates_count": len(entry.federates_with),
        "admin": int(entry.admin),
        "downstream": int(entry.downstream),
        "expires_at": entry.expires_at,
        "dns_names": names_text(entry.dns_names),
        "revision_number": entry.revision_number,
        "store_svid": int(entry.store_svid),
        "hint": entry.hint,
        "created_at": entry.created_at,
        "disable_x509_svid_prefetch": int(entry.disable_x509_svid_prefetch),
        "jwt_svid_include_jti": int(entry.jwt_svid_include_jti),
    }


def entry_of(row: Sequence[Any]) -> Entry:
    """Return the entry of a row of `schema.entries`, its columns in the schema's order."""
    (
        number,
        entry_id,
        spiffe_id,
        parent_id,
        selectors,
        _,
        _,
        x509_svid_ttl,
        jwt_svid_ttl,
        federates_with,
        _,
        admin,
        downstream,
        expires_at,
        dns_names,
        revision_number,
        store_svid,
        hint,
        created_at,
        disable_x509_svid_prefetch,
        jwt_svid_include_jti,
    ) = row
    return Entry(
        row=number,
        id=entry_id,
        spiffe_id=SpiffeId(spiffe_id),
        parent_id=_shared_id(parent_id),
        selectors=_selectors(selectors),
        x509_svid_ttl=x509_svid_ttl,
        jwt_svid_ttl=jwt_svid_ttl,
        federates_with=_names(federates_with),
        admin=bool(admin),
        downstream=bool(downstream),
        expires_at=expires_at,
        dns_names=_names(dns_names),
        revision_number=revision_number,
        store_svid=bool(store_svid),
        hint=hint,
        created_at=created_at,
        disable_x509_svid_prefetch=bool(disable_x509_svid_prefetch),
        jwt_svid_include_jti=bool(jwt_svid_include_jti),
    )


def agent_row(agent: Agent) -> dict[str, Any]:
    """Return the columns of an agent."""
    return {
        "row": agent.row,
        "agent_id": agent.id.uri,
        "attestation_type": agent.attestation_type,
        "serial_number": agent.serial_number,
        "expires_at": agent.expires_at,
        "new_serial_number": agent.new_serial_number,
        "new_expires_at": agent.new_expires_at,
        "selectors": selectors_text(agent.selectors),
        "selector_count": len(set(agent.selectors)),
        "can_reattest": int(agent.can_reattest),
        "agent_version": agent.agent_version,
    }


def agent_of(row: Row[*tuple[Any, ...]]) -> Agent:
    """Return the agent of a row of `schema.agents`."""
    columns = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    return Agent(
        row=columns["row"],
        id=SpiffeId(columns["agent_id"]),
        attestation_type=columns["attestation_type"],
        serial_number=columns["serial_number"],
        expires_at=columns["expires_at"],
        new_serial_number=columns["new_serial_number"],
        new_expires_at=columns["new_expires_at"],
        selectors=_selectors(columns["selectors"]),
        can_reattest=bool(columns["can_reattest"]),
        agent_version=columns["agent_version"],
    )
