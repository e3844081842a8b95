"""From the server's messages to the agent's values.

What cannot be read is left out and logged: one bad entry or key must not take the others away.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from finial.agent.cache.entries import Entry
from finial.attestors.selector import Selector
from finial.runtime.logging import log
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority, X509Authority
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finial.api.spire import types_pb2 as types

logger = logging.getLogger(__name__)


def entries_by_id(messages: Iterable[types.Entry]) -> dict[str, Entry]:
    """Return the entries that can be read, by id."""
    found: dict[str, Entry] = {}
    for message in messages:
        try:
            entry = to_entry(message)
        except ValueError as error:
            log(
                logger,
                logging.ERROR,
                "server sent an entry that cannot be used; left out",
                entry_id=message.id,
                error=str(error),
            )
            continue
        found[entry.id] = entry
    return found


def to_entry(message: types.Entry) -> Entry:
    """Read one entry. Raises ValueError."""
    if not message.id:
        raise ValueError("entry has no id")
    attributes = message.additional_attributes
    return Entry(
        id=message.id,
        spiffe_id=to_spiffe_id(message.spiffe_id),
        selectors=frozenset(Selector(one.type, one.value) for one in message.selectors),
        federates_with=tuple(TrustDomain.parse(name) for name in message.federates_with),
        hint=message.hint,
        created_at=message.created_at,
        revision_number=message.revision_number,
        store_svid=message.store_svid,
        prefetch_x509=not attributes.disable_x509_svid_prefetch,
        include_jti=attributes.jwt_svid_include_jti,
        admin=message.admin,
        downstream=message.downstream,
    )


def to_spiffe_id(message: types.SPIFFEID) -> SpiffeId:
    """Read a SPIFFE ID. Raises SpiffeIdError."""
    return SpiffeId.of(TrustDomain.parse(message.trust_domain), message.path)


def to_bundle(message: types.Bundle) -> Bundle:
    """Read a bundle. Raises SpiffeIdError when its trust domain is malformed."""
    trust_domain = TrustDomain.parse(message.trust_domain)
    return Bundle(
        trust_domain=trust_domain,
        x509_authorities=tuple(_x509_authorities(trust_domain, message)),
        jwt_authorities=tuple(_jwt_authorities(trust_domain, message)),
        wit_authorities=tuple(_wit_authorities(trust_domain, message)),
        sequence=message.sequence_number,
        refresh_hint=message.refresh_hint,
    )


def _x509_authorities(trust_domain: TrustDomain, message: types.Bundle) -> Iterable[X509Authority]:
    for authority in message.x509_authorities:
        try:
            yield X509Authority.from_der(authority.asn1, tainted=authority.tainted)
        except ValueError as error:
            _left_out(trust_domain, "X.509 authority", error)


def _jwt_authorities(trust_domain: TrustDomain, message: types.Bundle) -> Iterable[JwtAuthority]:
    for key in message.jwt_authorities:
        try:
            yield JwtAuthority.from_spki(
                key.key_id,
                key.public_key,
                expires_at=key.expires_at or None,
                tainted=key.tainted,
            )
        except ValueError as error:
            _left_out(trust_domain, "JWT authority", error)


def _wit_authorities(trust_domain: TrustDomain, message: types.Bundle) -> Iterable[WitAuthority]:
    for key in message.wit_authorities:
        try:
            yield WitAuthority.from_spki(
                key.key_id,
                key.public_key,
                expires_at=key.expires_at or None,
                tainted=key.tainted,
            )
        except ValueError as error:
            _left_out(trust_domain, "WIT authority", error)


def _left_out(trust_domain: TrustDomain, what: str, error: ValueError) -> None:
    log(
        logger,
        logging.WARNING,
        "bundle has an authority that cannot be used; left out",
        trust_domain=trust_domain.name,
        kind=what,
        error=str(error),
    )
