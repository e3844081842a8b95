"""The JSON of `-data` and `-file`, read as Go reads it: any case of a member's name will do.

Unknown members are ignored, among them `entry_expiry`: the member is called `entryExpiry`.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from finial.api.spire.types_pb2 import SPIFFEID, Entry, Selector
from finial.runtime.cli.failure import FailureError
from finial.server.cli.arguments import spiffe_id
from finial.spiffe import SpiffeError, TrustDomain

INT32 = range(-(1 << 31), 1 << 31)
INT64 = range(-(1 << 63), 1 << 63)
NAMES: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}

T = TypeVar("T")


def entries_from_json(document: str) -> list[Entry]:
    """The entries of `{"entries": [...]}`; raises FailureError naming the first that is wrong."""
    top = _Object("", _parsed(document))
    return [_entry(_Object(f"entries[{i}]", each)) for i, each in enumerate(top.items("entries"))]


def ids_from_json(document: str) -> list[str]:
    """The texts of `{"ids": [...]}`; raises FailureError."""
    ids = _Object("", _parsed(document)).items("ids")
    for place, each in enumerate(ids):
        if not isinstance(each, str):
            raise FailureError(f"ids[{place}] must be a text")
    return ids


def _parsed(document: str) -> Any:
    if not document.strip():
        raise FailureError("unexpected end of JSON input")
    try:
        return json.loads(document)
    except json.JSONDecodeError as error:
        raise FailureError(
            f"no valid JSON: {error.msg.lower()} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise FailureError("no valid JSON: nested too deeply") from None


def _entry(item: "_Object") -> Entry:
    entry = Entry(
        id=item.text("entry_id"),
        spiffe_id=item.convert("invalid SPIFFE ID", _id, item.text("spiffe_id")),
        parent_id=item.convert("invalid parent ID", _id, item.text("parent_id")),
        selectors=[_selector(each) for each in item.objects("selectors")],
        x509_svid_ttl=item.integer("x509_svid_ttl", INT32),
        jwt_svid_ttl=item.integer("jwt_svid_ttl", INT32),
        federates_with=[
            item.convert("invalid federated trust domain", _trust_domain, name)
            for name in item.texts("federates_with")
        ],
        admin=item.boolean("admin"),
        downstream=item.boolean("downstream"),
        expires_at=item.integer("entryExpiry", INT64),
        dns_names=item.texts("dns_names"),
        store_svid=item.boolean("store_svid"),
        hint=item.text("hint"),
    )
    attributes = item.object("additional_attributes")
    if attributes is not None:
        prefetch = attributes.boolean("disable_x509_svid_prefetch")
        entry.additional_attributes.disable_x509_svid_prefetch = prefetch
        include_jti = attributes.boolean("jwt_svid_include_jti")
        entry.additional_attributes.jwt_svid_include_jti = include_jti
    return entry


def _selector(item: "_Object") -> Selector:
    return Selector(type=item.text("type"), value=item.text("value"))


def _id(uri: str) -> SPIFFEID:
    return spiffe_id(uri)


def _trust_domain(name: str) -> str:
    return TrustDomain.parse(name).name


class _Object:
    """A JSON object at a place in the document; members are asked for by name and type.

    A missing member and null are the type's empty value, as in Go.
    """

    def __init__(self, place: str, value: Any) -> None:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise FailureError(f"{place or 'the document'} must be an object")
        self._place = place
        self._members = {name.casefold(): member for name, member in value.items()}

    def text(self, name: str) -> str:
        return self._get(name, str, "")

    def boolean(self, name: str) -> bool:
        return self._get(name, bool, default=False)

    def items(self, name: str) -> list[Any]:
        return self._get(name, list, [])

    def integer(self, name: str, allowed: range) -> int:
        value = self._members.get(name.casefold())
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or value not in allowed:
            bits = allowed.stop.bit_length()
            raise FailureError(f"{self._at(name)} must be an integer of {bits} bits")
        return value

    def texts(self, name: str) -> list[str]:
        values = self.items(name)
        for place, each in enumerate(values):
            if not isinstance(each, str):
                raise FailureError(f"{self._at(name)}[{place}] must be a text")
        return values

    def objects(self, name: str) -> list["_Object"]:
        return [_Object(f"{self._at(name)}[{i}]", each) for i, each in enumerate(self.items(name))]

    def object(self, name: str) -> "_Object | None":
        value = self._members.get(name.casefold())
        return None if value is None else _Object(self._at(name), value)

    def convert(self, complaint: str, make: Callable[[str], Any], value: str) -> Any:
        """`make(value)`, its failure told with this object's place."""
        try:
            return make(value)
        except (FailureError, SpiffeError) as error:
            raise FailureError(f"{self._place}: {complaint}: {error}") from None

    def _get(self, name: str, kind: type[T], default: T) -> T:
        value = self._members.get(name.casefold())
        if value is None:
            return default
        if not isinstance(value, kind):
            raise FailureError(f"{self._at(name)} must be {NAMES[kind]}")
        return value

    def _at(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name
