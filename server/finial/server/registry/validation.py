"""The rules that a registration entry keeps, with SPIRE's texts.

Two groups, because SPIRE reports them differently: `check_readable` (the caller's "failed to
convert entry: …") and `check_storable` (its "failed to create entry: …", whose texts begin with
the layer that finds them there). Both are pure. What an ID or a selector looks like is decided
where it is parsed; here it is decided what an entry may do with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from finial.server.registry.errors import InvalidEntry

if TYPE_CHECKING:
    from finial.server.registry.model import Entry
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.trust_domain import TrustDomain

MAX_HINT = 1024
MAX_ENTRY_ID = 255

_ENTRY_ID = re.compile(r"[A-Za-z0-9._-]*")
_DNS_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
_MAX_DNS_NAME = 255
_MAX_DNS_LABEL = 63
_STORABLE = "datastore-validation: invalid registration entry: "


def validate_entry(entry: Entry, trust_domain: TrustDomain) -> None:
    """Judge an entry that is to be created, by both groups of rules.

    Raises:
        InvalidEntry: a rule is broken; `stored_form` says by which group.
    """
    check_readable(entry, trust_domain)
    check_storable(entry)


def check_readable(entry: Entry, trust_domain: TrustDomain) -> None:
    """Judge what each field says by itself.

    Raises:
        InvalidEntry: with `stored_form` False.
    """
    check_parent_id(entry.parent_id, trust_domain)
    check_spiffe_id(entry.spiffe_id, trust_domain)
    check_selectors(entry.selectors)
    for name in entry.dns_names:
        check_dns_name(name)
    check_hint(entry.hint)


def check_storable(entry: Entry) -> None:
    """Judge what the fields say together, and what no store would keep.

    Raises:
        InvalidEntry: with `stored_form` True.
    """
    if not entry.selectors:
        raise _unstorable("missing selector list")
    if entry.store_svid and len({selector.type for selector in entry.selectors}) > 1:
        raise _unstorable("selector types must be the same when store SVID is enabled")
    if len(entry.id) > MAX_ENTRY_ID:
        raise _unstorable("entry ID too long")
    if not _ENTRY_ID.fullmatch(entry.id):
        raise _unstorable("entry ID contains invalid characters")
    if entry.x509_svid_ttl < 0:
        raise _unstorable("X509SvidTtl is not set")
    if entry.jwt_svid_ttl < 0:
        raise _unstorable("JwtSvidTtl is not set")
    if entry.store_svid and entry.disable_x509_svid_prefetch:
        raise _unstorable("X509-SVID prefetch cannot be disabled when store SVID is enabled")


def check_parent_id(parent_id: SpiffeId, trust_domain: TrustDomain) -> None:
    """A parent is any ID of the trust domain with a path, reserved ones included.

    Raises:
        InvalidEntry: it is not.
    """
    if not parent_id.member_of(trust_domain):
        raise _bad_id("parent", parent_id, f'a member of trust domain "{trust_domain}"')
    if not parent_id.path:
        raise _bad_id("parent", parent_id, f'a member of trust domain "{trust_domain}"', _PATHLESS)


def check_spiffe_id(spiffe_id: SpiffeId, trust_domain: TrustDomain) -> None:
    """An entry's ID is a workload's: in the trust domain, with a path, not a reserved one.

    Raises:
        InvalidEntry: it is not.
    """
    if not spiffe_id.member_of(trust_domain):
        raise _bad_id("spiffe", spiffe_id, f'a member of trust domain "{trust_domain}"')
    workload = f'a workload in trust domain "{trust_domain}"'
    if not spiffe_id.path:
        raise _bad_id("spiffe", spiffe_id, workload, _PATHLESS)
    if spiffe_id.is_reserved:
        raise _bad_id("spiffe", spiffe_id, workload, "; path is in the reserved namespace")


def check_selectors(selectors: tuple[object, ...]) -> None:
    """An entry has at least one selector.

    Raises:
        InvalidEntry: it has none.
    """
    if not selectors:
        raise InvalidEntry("selector list is empty")


def check_hint(hint: str) -> None:
    """A hint has at most 1024 bytes (SPIFFE Workload API section 8).

    Raises:
        InvalidEntry: it has more.
    """
    if len(hint.encode()) > MAX_HINT:
        raise InvalidEntry(f"hint is too long, max length is {MAX_HINT} characters")


def check_dns_name(name: str) -> None:
    """A DNS name has labels of letters, digits, hyphens, underscores; its first may be `*`.

    Raises:
        InvalidEntry: it has not (RFC 1035 section 2.3.4 for the lengths).
    """
    complaint = complaint_about_dns_name(name)
    if complaint:
        raise InvalidEntry(f"invalid DNS name: {complaint}")


def complaint_about_dns_name(name: str) -> str:
    """Return what is wrong with a DNS name, "" if nothing is."""
    if not name:
        return "empty or only whitespace"
    if len(name) > _MAX_DNS_NAME:
        return "name length exceeds 255 characters"
    if name.count("*") > 1:
        return "too many wildcards"
    rest = name.removeprefix("*.")
    if "*" in rest:
        return "wildcard must be first label"
    if rest.endswith("."):
        return "domain ends with dot"
    for label in rest.split("."):
        if not label:
            return "label is empty"
        if len(label) > _MAX_DNS_LABEL:
            return f"label length exceeds {_MAX_DNS_LABEL} characters: {label}"
        if not _DNS_LABEL.fullmatch(label):
            return f"label does not match regex: {label}"
    return ""


_PATHLESS = "; path is empty"


def _bad_id(which: str, spiffe_id: SpiffeId, expected: str, reason: str = "") -> InvalidEntry:
    return InvalidEntry(f'invalid {which} ID: "{spiffe_id}" is not {expected}{reason}')


def _unstorable(reason: str) -> InvalidEntry:
    return InvalidEntry(_STORABLE + reason, stored_form=True)
