"""Federation relationships."""

from __future__ import annotations

from typing import Any

from tests.interop.likeness.cases.bundles import X509
from tests.interop.likeness.steps import Groups, Step, call

GET, LIST = "TrustDomain.GetFederationRelationship", "TrustDomain.ListFederationRelationships"
CREATE, UPDATE, DELETE = (
    f"TrustDomain.Batch{verb}FederationRelationship" for verb in ("Create", "Update", "Delete")
)
REFRESH = "TrustDomain.RefreshBundle"
AWAY = "https://127.0.0.1:1/"
FIELDS = "bundle_endpoint_url", "bundle_endpoint_profile", "trust_domain_bundle"
SPIFFE: Any = {"https_spiffe": {"endpoint_spiffe_id": "spiffe://r.org/endpoint"}}


def related(domain: str, **more: Any) -> dict[str, Any]:
    fields = {"trust_domain": domain, "bundle_endpoint_url": AWAY, "https_web": {}} | more
    return {name: value for name, value in fields.items() if value is not None}


def with_endpoint(domain: str, endpoint: str) -> dict[str, Any]:
    return related(domain, https_web=None, https_spiffe={"endpoint_spiffe_id": endpoint})


def bundle(domain: str) -> dict[str, Any]:
    return {"trust_domain": domain, "sequence_number": 3} | X509


def create(name: str, *wanted: dict[str, Any], **more: Any) -> Step:
    return call(name, CREATE, federation_relationships=list(wanted), **more)


def update(name: str, *wanted: dict[str, Any], **more: Any) -> Step:
    return call(name, UPDATE, federation_relationships=list(wanted), **more)


WRONG: dict[str, dict[str, Any]] = {
    "empty": {},
    "own domain": related("example.org"),
    "bad domain": related("Bad Name"),
    "no URL": related("w.org", bundle_endpoint_url=None),
    "http": related("w.org", bundle_endpoint_url="http://127.0.0.1/"),
    "user in the URL": related("w.org", bundle_endpoint_url="https://a:b@127.0.0.1/"),
    "no host": related("w.org", bundle_endpoint_url="https:///x"),
    "no URL at all": related("w.org", bundle_endpoint_url="::"),
    "no profile": related("w.org", https_web=None),
    "no endpoint ID": with_endpoint("w.org", ""),
    "bad endpoint ID": with_endpoint("w.org", "x"),
    "bundle of another": related("w.org", trust_domain_bundle=bundle("x.org")),
    "bad bundle": related(
        "w.org",
        trust_domain_bundle={"trust_domain": "w.org", "x509_authorities": [{"asn1": b"x"}]},
    ),
}
CREATING = [
    call("none", LIST),
    create("nothing"),
    *(create(name, wanted) for name, wanted in WRONG.items()),
    create("web", related("web.org")),
    create("again", related("web.org")),
    create("SPIFFE", with_endpoint("spiffe://r.org", "spiffe://r.org/endpoint")),
    create("endpoint elsewhere", with_endpoint("else.org", "spiffe://other.org/endpoint")),
    create("with its bundle", related("b.org", trust_domain_bundle=bundle("b.org"))),
    create("masked", related("m.org"), output_mask={}),
    call("bundle stored", "Bundle.GetFederatedBundle", trust_domain="b.org"),
]
GETTING = [
    call("none", GET),
    call("unknown", GET, trust_domain="unknown.org"),
    call("malformed", GET, trust_domain="Bad Name"),
    call("web", GET, trust_domain="web.org"),
    call("SPIFFE", GET, trust_domain="spiffe://r.org"),
    call("with its bundle", GET, trust_domain="b.org"),
    call("masked to nothing", GET, trust_domain="b.org", output_mask={}),
    *(call(f"masked to {n}", GET, trust_domain="b.org", output_mask={n: True}) for n in FIELDS),
    call("list", LIST, output_mask={}),
    call("list whole", LIST),
    Step("two", LIST, {"output_mask": {}, "page_size": 2}, keep={"td_token": "next_page_token"}),
    call("the rest", LIST, output_mask={}, page_size=9, page_token="{td_token}"),
    call("without size", LIST, output_mask={}, page_token="{td_token}"),
    call("bad token", LIST, page_size=1, page_token="abc"),
]
URL = {"bundle_endpoint_url": True}
UPDATING = [
    update("nothing"),
    update("unknown", related("unknown.org")),
    update("fields missing", {"trust_domain": "web.org"}),
    *(
        update(name, wanted | {"trust_domain": "web.org"})
        for name, wanted in WRONG.items()
        if wanted
    ),
    update("own domain itself", related("example.org")),
    update("URL", related("web.org", bundle_endpoint_url="https://127.0.0.1:2/"), input_mask=URL),
    update("bad URL", related("web.org", bundle_endpoint_url="x"), input_mask=URL),
    update("URL alone", {"trust_domain": "web.org", "bundle_endpoint_url": AWAY}, input_mask=URL),
    update("profile", with_endpoint("web.org", "spiffe://web.org/x")),
    update(
        "profile alone",
        {"trust_domain": "web.org", "https_web": {}},
        input_mask={"bundle_endpoint_profile": True},
    ),
    update("bundle", related("web.org", trust_domain_bundle=bundle("web.org"))),
    update("mask of nothing", related("web.org", **SPIFFE | {"https_web": None}), input_mask={}),
    update("answer masked", related("web.org"), output_mask={}),
    call("after all", GET, trust_domain="web.org"),
]
REFRESHING = [
    call("none", REFRESH),
    call("malformed", REFRESH, trust_domain="Bad Name"),
    call("unknown", REFRESH, trust_domain="zz.org"),
    call("nobody there", REFRESH, trust_domain="web.org"),
]
KNOWN = ["web.org", "spiffe://r.org", "else.org", "m.org", "b.org"]
DELETING = [
    call("nothing", DELETE),
    call("each mistake", DELETE, trust_domains=["", "Bad Name", "unknown.org", "example.org"]),
    call(
        "known", DELETE, trust_domains=["web.org", "spiffe://r.org", "else.org", "m.org", "b.org"]
    ),
    call("gone", GET, trust_domain="web.org"),
    call("the bundle stays", "Bundle.GetFederatedBundle", trust_domain="b.org", output_mask={}),
    call("bundles", "Bundle.BatchDeleteFederatedBundle", trust_domains=["b.org", "web.org"]),
]
GROUPS: Groups = {
    "relationships created": CREATING,
    "relationships got": GETTING,
    "relationships updated": UPDATING,
    "relationships refreshed": REFRESHING,
    "relationships deleted": DELETING,
}
