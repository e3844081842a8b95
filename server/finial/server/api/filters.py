"""The filters of list and count calls, from the wire to the domain."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2, entry_pb2
from finial.attestors.selector import Selector
from finial.server.api.convert import ConversionError, member_id, selectors, workload_id
from finial.server.registry.model import AgentFilter, EntryFilter, Match
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

EntryFilterMessage = entry_pb2.ListEntriesRequest.Filter | entry_pb2.CountEntriesRequest.Filter
AgentFilterMessage = agent_pb2.ListAgentsRequest.Filter | agent_pb2.CountAgentsRequest.Filter

_MATCHES: Final = frozenset(Match)


class _SetMatch(Protocol):
    """What the two messages that compare sets have in common."""

    @property
    def match(self) -> int: ...


def entry_filter(message: EntryFilterMessage, own: TrustDomain) -> EntryFilter:
    """The filter in `message`, whose IDs are of the trust domain `own`; what is absent lets pass.

    Raises:
        ConversionError: a part of it is not valid.
    """
    parent = wanted = chosen = federates_with = None
    if message.HasField("by_parent_id"):
        parent = _id(member_id, message.by_parent_id, own, "malformed parent ID filter")
    if message.HasField("by_spiffe_id"):
        wanted = _id(workload_id, message.by_spiffe_id, own, "malformed SPIFFE ID filter")
    if message.HasField("by_selectors"):
        chosen = _selector_set(message.by_selectors, "malformed selectors filter")
    if message.HasField("by_federates_with"):
        federates_with = _domain_set(message.by_federates_with)
    return EntryFilter(
        spiffe_id=wanted,
        parent_id=parent,
        selectors=chosen,
        selectors_match=_match(message.by_selectors),
        federates_with=federates_with,
        federates_with_match=_match(message.by_federates_with),
        hint=message.by_hint.value,
        downstream=message.by_downstream.value,
    )


def agent_filter(message: AgentFilterMessage) -> AgentFilter:
    """The filter in `message`; what it leaves out doesn't filter.

    Raises:
        ConversionError: a part of it is not valid.
    """
    chosen = None
    if message.HasField("by_selector_match"):
        try:
            chosen = selectors(message.by_selector_match.selectors)
        except ConversionError as error:
            raise ConversionError(f"failed to parse selectors: {error}") from None
    return AgentFilter(
        attestation_type=message.by_attestation_type,
        selectors=chosen,
        selectors_match=_match(message.by_selector_match),
        banned=message.by_banned.value if message.HasField("by_banned") else None,
        can_reattest=(
            message.by_can_reattest.value if message.HasField("by_can_reattest") else None
        ),
        expires_before=_expires_before(message.by_expires_before),
    )


def _id(
    read: Callable[[types_pb2.SPIFFEID, TrustDomain], SpiffeId],
    message: types_pb2.SPIFFEID,
    own: TrustDomain,
    what: str,
) -> SpiffeId:
    try:
        return read(message, own)
    except ConversionError as error:
        raise ConversionError(f"{what}: {error}") from None


def _selector_set(message: types_pb2.SelectorMatch, what: str) -> tuple[Selector, ...]:
    if not message.selectors:
        raise ConversionError(f"{what}: empty selector set")
    try:
        return selectors(message.selectors)
    except ConversionError as error:
        raise ConversionError(f"{what}: {error}") from None


def _domain_set(message: types_pb2.FederatesWithMatch) -> tuple[str, ...]:
    what = "malformed federates with filter"
    if not message.trust_domains:
        raise ConversionError(f"{what}: empty trust domain set")
    try:
        return tuple(sorted({TrustDomain.parse(name).name for name in message.trust_domains}))
    except SpiffeError as error:
        raise ConversionError(f"{what}: {error}") from None


def _match(message: _SetMatch) -> Match:
    if message.match not in _MATCHES:
        raise ConversionError(f"unsupported match behavior {message.match}")
    return Match(message.match)


def _expires_before(text: str) -> int | None:
    """Unix seconds of "2006-01-02 15:04:05 -0700 -07": the zone twice, as number and as name."""
    if not text:
        return None
    try:
        moment = datetime.strptime(text.rpartition(" ")[0], "%Y-%m-%d %H:%M:%S %z")
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        raise ConversionError(
            f'failed to parse expires before "{text[:64]}": '
            'give it as "2006-01-02 15:04:05 -0700 -07"',
        ) from None
