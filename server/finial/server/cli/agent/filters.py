"""The filters of `agent list` and `agent count`."""

from datetime import datetime

from google.protobuf.wrappers_pb2 import BoolValue

from finial.api.spire.server.agent_pb2 import ListAgentsRequest
from finial.api.spire.types_pb2 import Selector
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, Values, text
from finial.server.cli.arguments import selector
from finial.server.cli.selection import SELECTOR_FLAGS, mode_number, selector_match

Filter = ListAgentsRequest.Filter
LAYOUT = "2006-01-02 15:04:05 -0700 -07"
"""The example by which Go describes a format; the last part repeats the zone's hours."""
FILTER_FLAGS: tuple[Flag, ...] = (
    text("attestationType", "Agents of this attestation type, such as join_token"),
    text("banned", "true: only banned agents; false: only others; anything else: all"),
    text("canReattest", "true: only agents that can attest again; false: only others"),
    text("expiresBefore", f'Agents whose SVID ends before that, as "{LAYOUT}"'),
    *SELECTOR_FLAGS,
)


def agent_filter(values: Values) -> Filter:
    """The filter that the flags describe; raises FailureError."""
    wanted = Filter(
        by_attestation_type=values.text("attestationType"),
        by_expires_before=checked_date(values.text("expiresBefore")),
    )
    if texts := values.texts("selector"):
        mode = mode_number(values.text("matchSelectorsOn"))
        if mode is None:
            raise FailureError("unsupported match behavior")
        wanted.by_selector_match.CopyFrom(selector_match([_selector(each) for each in texts], mode))
    for flag, field in (("banned", wanted.by_banned), ("canReattest", wanted.by_can_reattest)):
        if (word := values.text(flag).lower()) in {"true", "false"}:
            field.CopyFrom(BoolValue(value=word == "true"))
    return wanted


def checked_date(value: str) -> str:
    """The value as it is, if empty or of the layout; raises FailureError."""
    if not value:
        return value
    moment, _, hours = value.rpartition(" ")
    try:
        datetime.strptime(moment, "%Y-%m-%d %H:%M:%S %z")
        datetime.strptime(hours + "00", "%z")
    except ValueError:
        raise FailureError(f'date is not valid: "{value}" is not of the form "{LAYOUT}"') from None
    return value


def _selector(value: str) -> Selector:
    try:
        return selector(value)
    except FailureError as error:
        raise FailureError(f'error parsing selector "{value}": {error}') from None
