"""Registration entries, as an operator makes, finds, changes and deletes them."""

from __future__ import annotations

from typing import Any

from tests.interop.likeness.steps import (
    Groups,
    Step,
    call,
    entry,
    selector,
    selectors,
    spiffe_id,
)

CREATE, UPDATE = "Entry.BatchCreateEntry", "Entry.BatchUpdateEntry"
LIST, COUNT, GET = "Entry.ListEntries", "Entry.CountEntries", "Entry.GetEntry"
DELETE = "Entry.BatchDeleteEntry"
EVERYTHING = {
    "id": "everything",
    "x509_svid_ttl": 600,
    "jwt_svid_ttl": 120,
    "admin": True,
    "downstream": True,
    "expires_at": 4_000_000_000,
    "dns_names": ["a.example.org", "b"],
    "hint": "hint",
    "additional_attributes": {"jwt_svid_include_jti": True, "disable_x509_svid_prefetch": True},
}


def create(name: str, *entries: Any, **more: Any) -> Step:
    return call(name, CREATE, entries=list(entries), **more)


def update(name: str, *entries: Any, **more: Any) -> Step:
    return call(name, UPDATE, entries=list(entries), **more)


def refused(name: str, **fields: Any) -> Step:
    """An entry of which one thing is wrong, or only looks so; each has a place of its own."""
    place = name.lower().replace(" ", "-").replace(",", "").replace(".", "")
    return create(name, entry(f"/{place}", **fields))


CREATING = [
    create("nothing"),
    create("valid", entry("/web", id="web")),
    create("id made up", entry("/made-up")),
    create("everything", entry("/everything", **EVERYTHING)),
    create("store", entry("/stored", store_svid=True, id="stored")),
    create("similar", entry("/web", x509_svid_ttl=60, hint="other", dns_names=["x.org"])),
    create("similar, masked", entry("/web"), output_mask={}),
    create("similar under its own ID", entry("/web", id="web")),
    create("similar under another ID", entry("/web", id="web2")),
    create("similar twice in a batch", entry("/twice", id="t1"), entry("/twice", id="t2")),
    create("same ID, different entry", entry("/other", id="web")),
    create("same selector twice", entry("/dup", id="dup", selectors=selectors("uid:1", "uid:1"))),
    create("order of selectors", entry("/ord", id="ord", selectors=selectors("c", "a", "b"))),
    create(
        "similar in another order", entry("/ord", selectors=selectors("b", "c", "a"), id="ord2")
    ),
    create("good, bad, good", entry("/g1", id="g1"), entry("/web/"), entry("/g2", id="g2")),
    create("masked", entry("/masked", id="masked"), output_mask={"spiffe_id": True}),
    create("empty mask", entry("/masked2", id="masked2"), output_mask={}),
    create("own federation", entry("/fed", id="fed0", federates_with=["example.org"])),
    create("revision and times given", entry("/rev", id="rev", revision_number=7, created_at=5)),
    create("expired", entry("/expired", id="expired", expires_at=5)),
    create("negative expiry", entry("/negative", id="negative", expires_at=-5)),
    create("attributes empty", entry("/attr", id="attr", additional_attributes={})),
    create("reserved parent", entry("/p1", id="p1", parent_id=spiffe_id("/spire/server"))),
]
REFUSED = [
    refused("empty", parent_id=None, spiffe_id=None, selectors=None),
    refused("no parent", parent_id=None),
    refused("no ID", spiffe_id=None),
    refused("empty parent", parent_id={}),
    refused("parent of another domain", parent_id=spiffe_id("/node", "other.org")),
    refused("parent without path", parent_id=spiffe_id("")),
    refused("parent without domain", parent_id=spiffe_id("/node", "")),
    refused("parent with a bad domain", parent_id=spiffe_id("/node", "Example.org")),
    refused("parent with a bad path", parent_id=spiffe_id("node")),
    refused("parent with a slash at its end", parent_id=spiffe_id("/node/")),
    refused("ID of another domain", spiffe_id=spiffe_id("/web", "other.org")),
    refused("ID without path", spiffe_id=spiffe_id("")),
    refused("reserved ID", spiffe_id=spiffe_id("/spire")),
    refused("reserved ID, deeper", spiffe_id=spiffe_id("/spire/agent/x")),
    refused("ID that only looks reserved", spiffe_id=spiffe_id("/spirex"), id="spirex"),
    refused("ID with dots", spiffe_id=spiffe_id("/a/../b")),
    refused("ID with an empty segment", spiffe_id=spiffe_id("/a//b")),
    refused("ID with a bad character", spiffe_id=spiffe_id("/a b")),
    refused("no selectors", selectors=[]),
    refused("selector without type", selectors=[selector(kind="")]),
    refused("selector with a colon in its type", selectors=[selector(kind="a:b")]),
    refused("selector without value", selectors=[selector(value="")]),
    refused("empty DNS name", dns_names=[""]),
    refused("bad DNS name", dns_names=["-a"]),
    refused("bad DNS character", dns_names=["a b"], id="bad-dns"),
    refused("DNS dot at the end", dns_names=["a."]),
    refused("DNS bare wildcard", dns_names=["*"]),
    refused("DNS wildcard inside", dns_names=["a.*.b"]),
    refused("DNS wildcard", dns_names=["*.example.org"]),
    refused("DNS wildcard over another", dns_names=["*.example.org", "a.example.org"]),
    refused("DNS label too long", dns_names=["a" * 64]),
    refused("DNS name too long", dns_names=[".".join(["a" * 50] * 6)]),
    refused("DNS underscore", dns_names=["_a.b_c"]),
    refused("hint too long", hint="x" * 1025),
    refused("longest hint", spiffe_id=spiffe_id("/hinted"), hint="x" * 1024, id="hinted"),
    refused("federated malformed", federates_with=["Bad Name"]),
    refused("federated empty", federates_with=[""]),
    refused("federated without bundle", federates_with=["nope.org"]),
    refused("negative X.509 TTL", x509_svid_ttl=-1),
    refused("negative JWT TTL", jwt_svid_ttl=-1),
    refused("ID too long", id="x" * 256),
    refused("ID of bad characters", id="a/b"),
    refused("ID with a space", id="a b"),
    refused("stored, selectors mixed", store_svid=True, selectors=[selector(), selector(kind="k")]),
    refused(
        "stored, not prefetched",
        store_svid=True,
        additional_attributes={"disable_x509_svid_prefetch": True},
    ),
]
GETTING = [
    call("no ID", GET),
    call("unknown", GET, id="unknown"),
    call("whole", GET, id="everything"),
    call("stored", GET, id="stored"),
    call("masked to nothing", GET, id="everything", output_mask={}),
    *(
        call(f"masked to {name}", GET, id="everything", output_mask={name: True})
        for name in (
            "spiffe_id",
            "parent_id",
            "selectors",
            "x509_svid_ttl",
            "federates_with",
            "admin",
            "downstream",
            "expires_at",
            "dns_names",
            "revision_number",
            "store_svid",
            "jwt_svid_ttl",
            "hint",
            "created_at",
            "additional_attributes",
        )
    ),
]
SCARCE = {"spiffe_id": True, "revision_number": True}
UPDATING = [
    update("nothing"),
    update("unknown", entry(id="unknown")),
    update("no ID", entry()),
    update("no ID, masked", {"hint": "x"}, input_mask={"hint": True}),
    update("unknown, masked", {"id": "unknown", "hint": "x"}, input_mask={"hint": True}),
    update("fields missing", {"id": "web"}),
    update("ID missing", entry(id="web", spiffe_id=None)),
    update("no difference", entry("/web", id="web")),
    update("no difference again", entry("/web", id="web")),
    update("hint", {"id": "web", "hint": "new"}, input_mask={"hint": True}),
    update("not in the mask", {"id": "web", "hint": "newer"}, input_mask={"admin": True}),
    update("empty mask", {"id": "web", "hint": "newer"}, input_mask={}),
    update("times", {"id": "web", "created_at": 7}, input_mask={"created_at": True}),
    update("revision", {"id": "web", "revision_number": 77}, input_mask={"revision_number": True}),
    update("bad, not in the mask", {"id": "web", "dns_names": ["-"]}, input_mask={"hint": True}),
    update("bad in the mask", {"id": "web", "dns_names": ["-"]}, input_mask={"dns_names": True}),
    update("no selectors", {"id": "web"}, input_mask={"selectors": True}),
    update("no parent", {"id": "web"}, input_mask={"parent_id": True}),
    update("no SPIFFE ID", {"id": "web"}, input_mask={"spiffe_id": True}),
    update("TTL", {"id": "web", "x509_svid_ttl": -1}, input_mask={"x509_svid_ttl": True}),
    update("JWT TTL", {"id": "web", "jwt_svid_ttl": -1}, input_mask={"jwt_svid_ttl": True}),
    update("JWT TTL of it", {"id": "web", "jwt_svid_ttl": 40}, input_mask={"jwt_svid_ttl": True}),
    update("federates", {"id": "web", "federates_with": ["nope.org"]}),
    update(
        "federates, masked",
        {"id": "web", "federates_with": ["nope.org"]},
        input_mask={"federates_with": True},
    ),
    update("attributes off", {"id": "everything"}, input_mask={"additional_attributes": True}),
    update(
        "attributes on",
        {"id": "web", "additional_attributes": {"jwt_svid_include_jti": True}},
        input_mask={"additional_attributes": True},
    ),
    update("into another's place", entry("/g1", id="g2"), output_mask=SCARCE),
    update("both", entry("/g1", id="g1"), entry("/bad/", id="g2"), output_mask=SCARCE),
    update("output masked to nothing", entry("/g3", id="g2"), output_mask={}),
    update("store", {"id": "ord", "store_svid": True}, input_mask={"store_svid": True}),
    update(
        "store beside mixed selectors",
        {"id": "ord", "selectors": [selector(), selector(kind="k")]},
        input_mask={"selectors": True},
    ),
    update("bad ID", {"id": "a/b", "hint": "x"}, input_mask={"hint": True}),
    call("after all", GET, id="web"),
]
DELETING = [
    call("what only one has made", DELETE, ids=["dup", "bad-dns"]),
    call("nothing", DELETE),
    call("empty, unknown, known", DELETE, ids=["", "unknown", "p1"]),
    call("twice in a batch", DELETE, ids=["attr", "attr"]),
    call("gone", GET, id="p1"),
]


def by(name: str, **chosen: Any) -> list[Step]:
    """A filter, for a list and for a count."""
    mask = {"output_mask": {"spiffe_id": True}}
    return [
        call(f"list {name}", LIST, filter=chosen, **mask),
        call(f"count {name}", COUNT, filter=chosen),
    ]


def by_selectors(*values: str) -> list[Step]:
    return [
        step
        for match in range(4)
        for step in by(
            f"{'+'.join(values)} match {match}",
            by_selectors={"selectors": selectors(*values), "match": match},
        )
    ]


FILTERING = [
    *by("everything"),
    *by("ID", by_spiffe_id=spiffe_id("/web")),
    *by("ID unknown", by_spiffe_id=spiffe_id("/unknown")),
    *by("ID of another domain", by_spiffe_id=spiffe_id("/web", "other.org")),
    *by("ID empty", by_spiffe_id={}),
    *by("ID without path", by_spiffe_id=spiffe_id("")),
    *by("ID reserved", by_spiffe_id=spiffe_id("/spire/agent/x")),
    *by("ID malformed", by_spiffe_id=spiffe_id("web")),
    *by("parent", by_parent_id=spiffe_id("/node")),
    *by("parent unknown", by_parent_id=spiffe_id("/unknown")),
    *by("parent reserved", by_parent_id=spiffe_id("/spire/server")),
    *by("parent of another domain", by_parent_id=spiffe_id("/web", "other.org")),
    *by("parent without path", by_parent_id=spiffe_id("")),
    *by("parent malformed", by_parent_id=spiffe_id("/a/")),
    *by("no selectors", by_selectors={}),
    *by("bad selector", by_selectors={"selectors": [selector(kind="")]}),
    *by_selectors("uid:0"),
    *by_selectors("a", "b", "c"),
    *by_selectors("a", "b"),
    *by_selectors("a", "b", "c", "d"),
    *by_selectors("a", "uid:0"),
    *by_selectors("none"),
    *by("no known match", by_selectors={"selectors": selectors("a"), "match": 4}),
    *by("no domains", by_federates_with={}),
    *by("bad domain", by_federates_with={"trust_domains": ["Bad Name"]}),
    *by("hint", by_hint={"value": "new"}),
    *by("hint empty", by_hint={"value": ""}),
    *by("hint unknown", by_hint={"value": "unknown"}),
    *by("downstream", by_downstream={"value": True}),
    *by("not downstream", by_downstream={"value": False}),
    *by("ID and parent", by_spiffe_id=spiffe_id("/web"), by_parent_id=spiffe_id("/node")),
    *by("ID and hint", by_spiffe_id=spiffe_id("/web"), by_hint={"value": "hint"}),
]
PAGING = [
    call("first page", LIST, page_size=3, output_mask={}),
    Step("two", LIST, {"page_size": 2, "output_mask": {}}, keep={"second": "next_page_token"}),
    call("the next two", LIST, page_size=2, page_token="{second}", output_mask={}),
    call("the rest", LIST, page_size=100, page_token="{second}", output_mask={}),
    Step("all", LIST, {"page_size": 100, "output_mask": {}}, keep={"last": "next_page_token"}),
    call("after the last", LIST, page_size=100, page_token="{last}", output_mask={}),
    call("exactly one filtered", LIST, page_size=1, filter={"by_hint": {"value": "new"}}),
    call("without size", LIST, page_token="{second}", output_mask={}),
    call("negative size", LIST, page_size=-1, output_mask={}),
    call("negative size and token", LIST, page_size=-1, page_token="{second}", output_mask={}),
    call("bad token", LIST, page_size=2, page_token="abc"),
    call("bad token without size", LIST, page_token="abc", output_mask={}),
    call("negative token", LIST, page_size=2, page_token="-1", output_mask={}),
    call("far token", LIST, page_size=2, page_token="99999", output_mask={}),
    call("token too big", LIST, page_size=2, page_token="9" * 30, output_mask={}),
    call(
        "with a filter",
        LIST,
        page_size=1,
        filter={"by_selectors": {"selectors": selectors("a", "b", "c"), "match": 3}},
        output_mask={},
    ),
]
GROUPS: Groups = {
    "entries created": CREATING,
    "entries refused": REFUSED,
    "entries got": GETTING,
    "entries updated": UPDATING,
    "entries deleted": DELETING,
    "entries filtered": FILTERING,
    "entries paged": PAGING,
}
