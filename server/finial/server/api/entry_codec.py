"""Registration entries between the wire and the domain."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from finial.api.spire import types_pb2
from finial.server.api.convert import (
    ConversionError,
    encode_selectors,
    encode_spiffe_id,
    selectors,
    spiffe_id,
)
from finial.server.api.masks import hide
from finial.server.registry.model import Entry
from finial.server.registry.validation import (
    check_dns_name,
    check_hint,
    check_parent_id,
    check_selectors,
    check_spiffe_id,
)
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

Values = dict[str, Any]
"""Fields of `Entry` by name."""

_ATTRIBUTES: Final = {"disable_x509_svid_prefetch", "jwt_svid_include_jti"}


def encode_entry(entry: Entry, hidden: Sequence[str]) -> types_pb2.Entry:
    """The message for `entry` without its `hidden` fields."""
    message = types_pb2.Entry(
        id=entry.id,
        spiffe_id=encode_spiffe_id(entry.spiffe_id),
        parent_id=encode_spiffe_id(entry.parent_id),
        selectors=encode_selectors(entry.selectors),
        x509_svid_ttl=entry.x509_svid_ttl,
        federates_with=entry.federates_with,
        admin=entry.admin,
        downstream=entry.downstream,
        expires_at=entry.expires_at,
        dns_names=entry.dns_names,
        revision_number=entry.revision_number,
        store_svid=entry.store_svid,
        jwt_svid_ttl=entry.jwt_svid_ttl,
        hint=entry.hint,
        created_at=entry.created_at,
    )
    # Absent when neither is set, as callers of SPIRE know it.
    if entry.disable_x509_svid_prefetch or entry.jwt_svid_include_jti:
        attributes = message.additional_attributes
        attributes.disable_x509_svid_prefetch = entry.disable_x509_svid_prefetch
        attributes.jwt_svid_include_jti = entry.jwt_svid_include_jti
    return hide(message, hidden)


def decode_entry(message: types_pb2.Entry, named: Collection[str], own: TrustDomain) -> Entry:
    """The entry in `message`, of which only the ID and the `named` fields are read.

    What isn't named is left as in an entry of nobody, and is not to be looked at.

    Raises:
        ConversionError: a named field cannot be read.
        InvalidEntry: a named field breaks a rule of entries.
    """
    values: Values = {"spiffe_id": own.id, "parent_id": own.id, "selectors": ()}
    for name, decode in _DECODERS.items():
        if name in named:
            decode(message, own, values)
    for name in _PLAIN:
        if name in named:
            values[name] = getattr(message, name)
    return Entry(id=message.id, **values)


def domain_fields(named: Collection[str]) -> frozenset[str]:
    """The fields of `Entry` for the `named` ones of the message that an update may change."""
    attributes = {"additional_attributes"}.intersection(named)
    plain = UPDATABLE.intersection(named) - attributes
    return frozenset(plain | (_ATTRIBUTES if attributes else set()))


def _decode_parent(message: types_pb2.Entry, own: TrustDomain, values: Values) -> None:
    values["parent_id"] = parent_id = _id(message.parent_id, "parent")
    check_parent_id(parent_id, own)


def _decode_spiffe_id(message: types_pb2.Entry, own: TrustDomain, values: Values) -> None:
    values["spiffe_id"] = wanted = _id(message.spiffe_id, "spiffe")
    check_spiffe_id(wanted, own)


def _id(message: types_pb2.SPIFFEID, which: str) -> SpiffeId:
    try:
        return spiffe_id(message)
    except ConversionError as error:
        raise ConversionError(f"invalid {which} ID: {error}") from None


def _decode_selectors(message: types_pb2.Entry, _: TrustDomain, values: Values) -> None:
    values["selectors"] = found = selectors(message.selectors)
    check_selectors(found)


def _decode_federates_with(message: types_pb2.Entry, _: TrustDomain, values: Values) -> None:
    names: dict[str, None] = {}
    for name in message.federates_with:
        try:
            names[TrustDomain.parse(name).name] = None
        except SpiffeError as error:
            raise ConversionError(f"invalid federated trust domain: {error}") from None
    values["federates_with"] = tuple(names)


def _decode_dns_names(message: types_pb2.Entry, _: TrustDomain, values: Values) -> None:
    values["dns_names"] = names = tuple(message.dns_names)
    for name in names:
        check_dns_name(name)


def _decode_hint(message: types_pb2.Entry, _: TrustDomain, values: Values) -> None:
    values["hint"] = message.hint
    check_hint(message.hint)


def _decode_attributes(message: types_pb2.Entry, _: TrustDomain, values: Values) -> None:
    attributes = message.additional_attributes
    values["disable_x509_svid_prefetch"] = attributes.disable_x509_svid_prefetch
    values["jwt_svid_include_jti"] = attributes.jwt_svid_include_jti


_DECODERS: Final[dict[str, Callable[[types_pb2.Entry, TrustDomain, Values], None]]] = {
    "parent_id": _decode_parent,
    "spiffe_id": _decode_spiffe_id,
    "selectors": _decode_selectors,
    "federates_with": _decode_federates_with,
    "dns_names": _decode_dns_names,
    "hint": _decode_hint,
    "additional_attributes": _decode_attributes,
}
"""Field of the message -> its reading, in the order in which callers expect complaints."""

_PLAIN: Final = (
    "x509_svid_ttl",
    "jwt_svid_ttl",
    "admin",
    "downstream",
    "expires_at",
    "store_svid",
)
"""Fields that are the same in both."""

UPDATABLE: Final = frozenset((*_DECODERS, *_PLAIN))
"""The fields of the message that callers decide on."""
