"""The filters of list and count calls, from the wire to the domain."""

from datetime import datetime
from typing import Final, Protocol

from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2, entry_pb2
from finial.attestors.selector import Selector
from finial.server.api.convert import ConversionError, selectors, spiffe_id, trust_domain
from finial.server.registry.model import AgentFilter, EntryFilter, Match
from finial.spiffe.spiffe_id import SpiffeId

EntryFilterMessage = entry_pb2.ListEntriesRequest.Filter | entry_pb2.CountEntriesRequest.Filter
AgentFilterMessage = agent_pb2.ListAgentsRequest.Filter | agent_pb2.CountAgentsRequest.Filter

_MATCHES: Final = frozenset(Match)


class _SetMatch(Protocol):
    """What the two messages that compare sets have in common."""

    @property
    def match(self) -> int: ...


def entry_filter(message: EntryFilterMessage) -> EntryFilter:
    """The filter in `message`; what it leaves out doesn't filter.

    Raises:
        ConversionError: a part of it is not valid.
    """
    chosen = federates_with = None
    if message.HasField("by_selectors"):
        chosen = _selector_set(message.by_selectors, "malformed selectors filter")
    if message.HasField("by_federates_with"):
        federates_with = _domain_set(message.by_federates_with)
    return EntryFilter(
        spiffe_id=_optional_id(message, "by_spiffe_id", "malformed SPIFFE ID filter"),
        parent_id=_optional_id(message, "by_parent_id", "malformed parent ID filter"),
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


def _optional_id(message: EntryFilterMessage, field: str, what: str) -> SpiffeId | None:
    if not message.HasField(field):  # type: ignore[arg-type]  # one of the two ID fields
        return None
    try:
        return spiffe_id(getattr(message, field))
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
        return tuple(sorted({trust_domain(name).name for name in message.trust_domains}))
    except ConversionError as error:
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
