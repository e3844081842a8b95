"""An answer as plain data, with words for what differs between any two servers."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import FieldDescriptor

from tests.interop.likeness.documents import certificate, coarse, public_key
from tests.interop.transcript import mask

if TYPE_CHECKING:
    from google.protobuf.message import Message

TIMES = frozenset({"expires_at", "issued_at", "x509svid_expires_at"})
PASTS = frozenset({"created_at"})
SETS = frozenset(
    {"selectors", "entry_revisions", "x509_authorities", "jwt_authorities", "federates_with"}
)
"""Fields whose order means nothing."""
ELAPSED = frozenset({"uptime"})
"""Seconds since a start: left out, for nought is as good as one."""
HOUR = 3600
NOW = 1_000_000_000
"""From here on a number of seconds is taken for a point in time."""
FAR = 4_000_000_000
"""Points in time from here on are the cases' own."""


def show(message: Message) -> dict[str, Any]:
    """The fields that are set, by name."""
    fields = [each for each in message.ListFields() if each[0].name not in ELAPSED]
    return {field.name: _field(field, value) for field, value in fields}


def _field(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.is_repeated:
        shown = [_value(descriptor, each) for each in value]
        return sorted(shown, key=str) if descriptor.name in SETS else shown
    return _value(descriptor, value)


def _value(descriptor: FieldDescriptor, value: Any) -> Any:
    if descriptor.type == FieldDescriptor.TYPE_MESSAGE:
        return show(value)
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return certificate(value) or public_key(value) or f"<{len(value)} BYTES>"
    if descriptor.enum_type is not None:
        known = descriptor.enum_type.values_by_number.get(value)
        return known.name if known else value
    if descriptor.name in TIMES:
        return moment(value)
    if descriptor.name in PASTS:
        return "<THIS RUN>" if abs(value - time.time()) < HOUR else value
    if descriptor.name == "next_page_token":
        return "<NUMBER>" if value.isdecimal() else value
    if isinstance(value, str):
        return _token(value) if descriptor.name == "token" else mask(value)
    return value


def moment(seconds: int) -> Any:
    """The point in time as seen from now."""
    if not NOW < seconds < FAR:
        return seconds
    return f"<NOW{coarse(seconds - time.time()):+}>"


def _token(value: str) -> Any:
    parts = value.split(".")
    if len(parts) != 3:
        return mask(value)
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])
    header["kid"] = mask(header["kid"])
    claims |= {"jti": f"<{len(claims['jti'])} CHARACTERS>"} if "jti" in claims else {}
    shown = {name: moment(each) if isinstance(each, int) else each for name, each in claims.items()}
    return {"header": header, "claims": shown}
