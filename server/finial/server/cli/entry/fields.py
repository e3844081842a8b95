"""The flags of `entry create` and `entry update`, and the entry that they describe."""

from finial.api.spire.types_pb2 import SPIFFEID, Entry
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Flag, Values, boolean, integer, text, texts
from finial.server.cli.arguments import int32, selector, spiffe_id

ATTRIBUTE_FLAGS = ("disableX509SVIDPrefetch", "jwtSVIDIncludeJTI")
FIELD_FLAGS: tuple[Flag, ...] = (
    text("spiffeID", "The SPIFFE ID that the entry gives"),
    text("parentID", "The SPIFFE ID of the agent, or alias, that may hand it out"),
    texts("selector", "A selector as type:value; may be given more than once"),
    integer("x509SVIDTTL", "Lifetime of X509-SVIDs in seconds; the server's default when 0"),
    integer("jwtSVIDTTL", "Lifetime of JWT-SVIDs in seconds; the server's default when 0"),
    texts("federatesWith", "A trust domain whose bundle the workload gets, too; repeatable"),
    texts("dns", "A DNS name in the X509-SVIDs; may be given more than once"),
    boolean("admin", "Let the identity administer the server through its API"),
    boolean("downstream", "The entry is for a downstream server"),
    integer("entryExpiry", "When the entry ends by itself, in Unix seconds"),
    text("entryID", "The entry's own ID"),
    text("hint", "Tells apart several entries of one workload"),
    boolean("storeSVID", "Hand the SVIDs to an SVID store, not to workloads"),
    boolean("disableX509SVIDPrefetch", "Let agents fetch X509-SVIDs only when asked for"),
    boolean("jwtSVIDIncludeJTI", "Give each JWT-SVID a jti of its own; they are not cached"),
    text("data", "JSON file with entries; - for standard input; other flags are ignored then"),
)


def check(values: Values, *, node: bool, no_parent: str) -> None:
    """Refuse what is missing, in SPIRE's order; raises FailureError, `no_parent` for a parent."""
    complaints = (
        (not values.texts("selector"), "at least one selector is required"),
        (node and bool(values.texts("federatesWith")), "node entries can not federate"),
        (not node and not values.text("parentID"), no_parent),
        (not values.text("spiffeID"), "a SPIFFE ID is required"),
        (values.integer("x509SVIDTTL") < 0, "a positive x509-SVID TTL is required"),
        (values.integer("jwtSVIDTTL") < 0, "a positive JWT-SVID TTL is required"),
    )
    for wrong, complaint in complaints:
        if wrong:
            raise FailureError(complaint)


def entry_from_flags(values: Values, *, node: bool) -> Entry:
    """The entry that checked flags describe; raises FailureError."""
    wanted = spiffe_id(values.text("spiffeID"))
    server = SPIFFEID(trust_domain=wanted.trust_domain, path="/spire/server")
    entry = Entry(
        id=values.text("entryID"),
        spiffe_id=wanted,
        parent_id=server if node else spiffe_id(values.text("parentID")),
        selectors=map(selector, values.texts("selector")),
        x509_svid_ttl=int32(values.integer("x509SVIDTTL"), "X509 SVID TTL"),
        jwt_svid_ttl=int32(values.integer("jwtSVIDTTL"), "JWT SVID TTL"),
        federates_with=values.texts("federatesWith"),
        admin=values.boolean("admin"),
        downstream=values.boolean("downstream"),
        expires_at=values.integer("entryExpiry"),
        dns_names=values.texts("dns"),
        store_svid=values.boolean("storeSVID"),
        hint=values.text("hint"),
    )
    if any(map(values.boolean, ATTRIBUTE_FLAGS)):
        entry.additional_attributes.disable_x509_svid_prefetch = values.boolean(ATTRIBUTE_FLAGS[0])
        entry.additional_attributes.jwt_svid_include_jti = values.boolean(ATTRIBUTE_FLAGS[1])
    return entry
