"""Entries as text, and their order."""

from finial.api.spire.types_pb2 import Entry
from finial.runtime.cli.output import block
from finial.runtime.cli.times import local_time
from finial.server.cli.arguments import id_text

LABEL_WIDTH = 24
OrderKey = tuple[str, str, list[tuple[str, str]]]


def entry_block(entry: Entry) -> str:
    """The lines of one entry and an empty one; what is not set is left out."""
    attributes = entry.additional_attributes
    rows: list[tuple[str, object]] = [
        ("Entry ID", entry.id or "(none)"),
        ("SPIFFE ID", id_text(entry.spiffe_id)),
        ("Parent ID", id_text(entry.parent_id)),
        ("Revision", entry.revision_number),
        *_when("Downstream", entry.downstream),
        ("X509-SVID TTL", entry.x509_svid_ttl or "default"),
        ("JWT-SVID TTL", entry.jwt_svid_ttl or "default"),
        *([("Expiration time", local_time(entry.expires_at))] if entry.expires_at else []),
        *(("Selector", f"{each.type}:{each.value}") for each in entry.selectors),
        *(("FederatesWith", name) for name in entry.federates_with),
        *(("DNS name", name) for name in entry.dns_names),
        *_when("Admin", entry.admin),
        *_when("StoreSvid", entry.store_svid),
        *([("Hint", entry.hint)] if entry.hint else []),
        *_when("DisableX509SvidPrefetch", attributes.disable_x509_svid_prefetch),
        *_when("JwtSvidIncludeJti", attributes.jwt_svid_include_jti),
    ]
    return block(rows, LABEL_WIDTH) + "\n"


def _when(label: str, is_set: bool) -> list[tuple[str, object]]:
    return [(label, "true")] if is_set else []


def order(entry: Entry) -> OrderKey:
    """Sorts by SPIFFE ID, then parent ID, then selectors."""
    return (
        id_text(entry.spiffe_id),
        id_text(entry.parent_id),
        [(each.type, each.value) for each in entry.selectors],
    )
