"""The trust domain's own bundle, and those of others."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fakes.ca import FakeCa
from tests.interop.likeness.steps import KEY, Groups, Step, call, entry

OTHER = FakeCa("e.org", key_id="k")
DER = OTHER.cert.public_bytes(Encoding.DER)
PUBLIC = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
X509 = {"x509_authorities": [{"asn1": DER}]}
JWT = {"jwt_authorities": [{"public_key": PUBLIC, "key_id": "k", "expires_at": 4_000_000_000}]}
GET, APPEND, FEDERATED = "Bundle.GetBundle", "Bundle.AppendBundle", "Bundle.GetFederatedBundle"
LIST, COUNT = "Bundle.ListFederatedBundles", "Bundle.CountBundles"
CREATE, UPDATE, SET, DELETE = (
    f"Bundle.Batch{verb}FederatedBundle" for verb in ("Create", "Update", "Set", "Delete")
)
FIELDS = "x509_authorities", "jwt_authorities", "refresh_hint", "sequence_number"
WHOLE = {"refresh_hint": 60, "sequence_number": 7} | X509 | JWT


def masked(method: str, **more: Any) -> list[Step]:
    return [
        call("masked to nothing", method, output_mask={}, **more),
        *(call(f"masked to {name}", method, output_mask={name: True}, **more) for name in FIELDS),
    ]


def append(name: str, **given: Any) -> Step:
    return call(name, APPEND, **given)


OWN = [
    call("whole", GET),
    *masked(GET),
    append("nothing"),
    append("bad certificate", x509_authorities=[{"asn1": b"x"}]),
    append("empty key", jwt_authorities=[{}]),
    append("key without ID", jwt_authorities=[{"public_key": PUBLIC}]),
    append("bad key", jwt_authorities=[{"public_key": b"x", "key_id": "k"}]),
    append("a key", **JWT, output_mask={"sequence_number": True}),
    append("the key again", **JWT, output_mask={"sequence_number": True}),
    append("a certificate", **X509, output_mask={"sequence_number": True}),
    append("the certificate again", **X509, output_mask={"sequence_number": True}),
    append("a key of no end", jwt_authorities=[{"public_key": PUBLIC, "key_id": "endless"}]),
    call("count", COUNT),
]


def each(verb: str, method: str) -> list[Step]:
    """What may be wrong with a bundle."""
    wrong: dict[str, dict[str, Any]] = {
        "empty": {},
        "own domain": {"trust_domain": "example.org"} | X509,
        "own domain, long": {"trust_domain": "spiffe://example.org"},
        "bad domain": {"trust_domain": "Bad Name"},
        "bad certificate": {"trust_domain": "bad.org", "x509_authorities": [{"asn1": b"x"}]},
        "bad key": {
            "trust_domain": "bad.org",
            "jwt_authorities": [{"public_key": b"x", "key_id": "k"}],
        },
        "key without ID": {"trust_domain": "bad.org", "jwt_authorities": [{"public_key": PUBLIC}]},
    }
    return [
        call(f"{verb} nothing", method),
        *(call(f"{verb} {name}", method, bundle=[bundle]) for name, bundle in wrong.items()),
    ]


def delete(name: str, *domains: str, mode: int = 0) -> Step:
    return call(name, DELETE, trust_domains=domains, mode=mode)


def federating(name: str, *domains: str) -> Step:
    return call(
        f"{name} federates",
        "Entry.BatchCreateEntry",
        entries=[entry(f"/federating/{name}", id=f"federating-{name}", federates_with=domains)],
    )


FEDERATING = [
    call("none", LIST),
    *each("create", CREATE),
    call("create", CREATE, bundle=[{"trust_domain": "e.org"} | WHOLE]),
    call("create again", CREATE, bundle=[{"trust_domain": "e.org"} | WHOLE]),
    call("create without authorities", CREATE, bundle=[{"trust_domain": "spiffe://bare.org"}]),
    call("create masked", CREATE, bundle=[{"trust_domain": "m.org"} | WHOLE], output_mask={}),
    Step(
        "seen",
        "Debug.GetInfo",
        until=lambda shown: shown.first.get("federated_bundles_count") == 4,
    ),
    call("get none", FEDERATED),
    call("get own", FEDERATED, trust_domain="example.org"),
    call("get unknown", FEDERATED, trust_domain="unknown.org"),
    call("get by an ID", FEDERATED, trust_domain="spiffe://e.org/x", output_mask={}),
    call("get malformed", FEDERATED, trust_domain="Bad Name"),
    call("get", FEDERATED, trust_domain="e.org"),
    call("get long", FEDERATED, trust_domain="spiffe://e.org", output_mask={}),
    *masked(FEDERATED, trust_domain="e.org"),
    *each("update", UPDATE),
    call("update unknown", UPDATE, bundle=[{"trust_domain": "unknown.org"} | X509]),
    call("update", UPDATE, bundle=[{"trust_domain": "e.org", "sequence_number": 8} | X509]),
    call(
        "update the hint",
        UPDATE,
        bundle=[{"trust_domain": "e.org", "refresh_hint": 5}],
        input_mask={"refresh_hint": True},
    ),
    call(
        "update the sequence",
        UPDATE,
        bundle=[{"trust_domain": "e.org", "sequence_number": 9}],
        input_mask={"sequence_number": True},
    ),
    call(
        "update with a mask of nothing", UPDATE, bundle=[{"trust_domain": "e.org"}], input_mask={}
    ),
    *each("set", SET),
    call("set new", SET, bundle=[{"trust_domain": "set.org"} | X509]),
    call("set again", SET, bundle=[{"trust_domain": "set.org"} | WHOLE]),
    call("set masked", SET, bundle=[{"trust_domain": "set.org"} | WHOLE], output_mask={}),
    call("list", LIST, output_mask={}),
    Step(
        "list two",
        LIST,
        {"output_mask": {}, "page_size": 2},
        keep={"bundles_token": "next_page_token"},
    ),
    call("list the rest", LIST, output_mask={}, page_size=9, page_token="{bundles_token}"),
    call("list bad token", LIST, page_size=1, page_token="abc"),
    call("list bad token without size", LIST, page_token="abc", output_mask={}),
    call("count", COUNT),
]
ENTRIES = [
    federating("one", "e.org"),
    federating("two", "e.org", "spiffe://bare.org"),
    federating("own", "example.org"),
    federating("three", "set.org"),
    federating("none", "unknown.org"),
    *(
        call(
            f"by {'+'.join(domains)} match {match}",
            "Entry.ListEntries",
            filter={"by_federates_with": {"trust_domains": domains, "match": match}},
            output_mask={"federates_with": True},
        )
        for domains in (["e.org"], ["e.org", "bare.org"], ["e.org", "x.org"], ["x.org"])
        for match in range(4)
    ),
]
LEFT = [f"federating-{name}" for name in ("one", "two", "own")]
DELETING = [
    delete("nothing"),
    delete("own", "example.org"),
    delete("malformed", "Bad Name", ""),
    delete("unknown", "unknown.org"),
    delete("unused, twice", "m.org", "spiffe://m.org"),
    delete("used", "e.org"),
    delete("used, and its entries", "set.org", mode=1),
    call("entry gone", "Entry.GetEntry", id="federating-three"),
    delete("used, and left by its entries", "e.org", mode=2),
    call("entry left", "Entry.GetEntry", id="federating-two", output_mask={"federates_with": True}),
    delete("in no known way", "bare.org", mode=9),
    delete("the rest", "bare.org", mode=2),
    call(
        "entries", "Entry.BatchDeleteEntry", ids=[f"federating-{n}" for n in ("one", "two", "own")]
    ),
]
PUBLISHING = [
    call("nothing", "Bundle.PublishJWTAuthority", "downstream"),
    call("empty", "Bundle.PublishJWTAuthority", "downstream", jwt_authority={}),
    call("bad", "Bundle.PublishJWTAuthority", "downstream", jwt_authority={"public_key": b"x"}),
    call(
        "a key",
        "Bundle.PublishJWTAuthority",
        "downstream",
        jwt_authority={"public_key": PUBLIC, "key_id": "downstream", "expires_at": 4_000_000_000},
    ),
    call("a WIT key", "Bundle.PublishWITAuthority", "downstream"),
    call("seen", GET, output_mask={"sequence_number": True}),
]
GROUPS: Groups = {
    "own bundle": OWN,
    "bundles": FEDERATING,
    "bundles and entries": ENTRIES,
    "bundles deleted": DELETING,
    "published": PUBLISHING,
}
