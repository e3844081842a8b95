"""The filters of `entry show` and `entry count`."""

from google.protobuf.wrappers_pb2 import BoolValue, StringValue

from finial.api.spire.server.entry_pb2 import ListEntriesRequest
from finial.api.spire.types_pb2 import SPIFFEID
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, Values, boolean, text, texts
from finial.server.cli.arguments import selector, spiffe_id
from finial.server.cli.selection import (
    MODES,
    SELECTOR_FLAGS,
    federates_with_match,
    mode_number,
    selector_match,
)

Filter = ListEntriesRequest.Filter
FILTER_FLAGS: tuple[Flag, ...] = (
    text("spiffeID", "Entries that give this SPIFFE ID"),
    text("parentID", "Entries with this parent"),
    *SELECTOR_FLAGS,
    texts("federatesWith", "Entries that federate with this trust domain; repeatable"),
    text("matchFederatesWithOn", f"How trust domains must match: {', '.join(MODES)}", "superset"),
    boolean("downstream", "Only entries of downstream servers"),
    text("hint", "Entries with this hint"),
)


def entry_filter(values: Values) -> Filter:
    """The filter that the flags describe; raises FailureError."""
    wanted = Filter()
    if parent := values.text("parentID"):
        wanted.by_parent_id.CopyFrom(_id("parent ID", parent))
    if uri := values.text("spiffeID"):
        wanted.by_spiffe_id.CopyFrom(_id("SPIFFE ID", uri))
    if selectors := values.texts("selector"):
        try:
            parsed = [selector(each) for each in selectors]
        except FailureError as error:
            raise FailureError(f"error parsing selectors: {error}") from None
        wanted.by_selectors.CopyFrom(selector_match(parsed, _mode(values, "matchSelectorsOn")))
    if names := values.texts("federatesWith"):
        wanted.by_federates_with.CopyFrom(
            federates_with_match(names, _mode(values, "matchFederatesWithOn"))
        )
    if hint := values.text("hint"):
        wanted.by_hint.CopyFrom(StringValue(value=hint))
    if values.boolean("downstream"):
        wanted.by_downstream.CopyFrom(BoolValue(value=True))
    return wanted


def _id(what: str, uri: str) -> SPIFFEID:
    try:
        return spiffe_id(uri)
    except FailureError as error:
        raise FailureError(f'error parsing {what} "{uri}": {error}') from None


def _mode(values: Values, flag: str) -> int:
    mode = mode_number(values.text(flag))
    if mode is None:
        raise FailureError(f'match behavior "{values.text(flag)}" unknown')
    return mode
