"""Agents: tokens, attestation, what operators see of them and do to them, what they may call."""

from __future__ import annotations

from typing import Any

from tests.interop.likeness.steps import (
    Groups,
    Step,
    agent_path,
    attestation,
    call,
    csr,
    joining,
    selector,
    spiffe_id,
)

TOKEN, ATTEST, RENEW = "Agent.CreateJoinToken", "Agent.AttestAgent", "Agent.RenewAgent"
LIST, COUNT, GET = "Agent.ListAgents", "Agent.CountAgents", "Agent.GetAgent"
BAN, DELETE, STATUS = "Agent.BanAgent", "Agent.DeleteAgent", "Agent.PostStatus"
ENTRIES = "Entry.GetAuthorizedEntries"
GIVEN = {"data": {"type": "join_token", "payload": b"x"}, "params": {"csr": csr()}}

TOKENS = [
    call("no lifetime", TOKEN),
    call("negative lifetime", TOKEN, ttl=-1),
    call("made up", TOKEN, ttl=600),
    call("given", TOKEN, ttl=600, token="given"),
    call("given again", TOKEN, ttl=600, token="given"),
    call("for an alias", TOKEN, ttl=600, token="aliased", agent_id=spiffe_id("/alias")),
    call("its entry", "Entry.ListEntries", filter={"by_spiffe_id": spiffe_id("/alias")}),
    call("alias of another domain", TOKEN, ttl=600, agent_id=spiffe_id("/alias", "other.org")),
    call("alias without path", TOKEN, ttl=600, agent_id=spiffe_id("")),
    call("alias reserved", TOKEN, ttl=600, agent_id=spiffe_id("/spire/agent/x")),
    call("alias malformed", TOKEN, ttl=600, agent_id=spiffe_id("alias")),
    call("not in an ID", TOKEN, ttl=600, token="a b"),
]


def without(name: str, **changed: Any) -> Step:
    params = {key: value for key, value in (GIVEN | changed).items() if value is not None}
    return Step(f"without {name}", ATTEST, [{"params": params}], "nobody")


def attest(name: str, *requests: Any) -> Step:
    return Step(name, ATTEST, list(requests), "nobody")


ATTESTING = [
    attest("nothing"),
    attest("empty", {}),
    attest("a response first", {"challenge_response": b"x"}),
    without("data", data=None),
    without("type", data={"payload": b"x"}),
    without("payload", data={"type": "join_token"}),
    without("parameters", params=None),
    without("request", params={}),
    without("anything", data=None, params=None),
    attest("of an unknown type", {"params": GIVEN | {"data": {"type": "zz", "payload": b"x"}}}),
    attest("of an unknown token", *attestation("unknown")),
    attest("of a token that is no name", *attestation("a b")),
    call("token for a bad request", TOKEN, ttl=600, token="bad-request"),
    attest("bad request", *attestation("bad-request", b"x")),
    attest("bad request, token used", *attestation("bad-request")),
    call("token to expire", TOKEN, ttl=1, token="expires"),
    *joining("agent"),
    attest("used", *attestation("agent-token")),
    call("foreign names", TOKEN, ttl=600, token="foreign"),
    attest("foreign names asked", *attestation("foreign", csr("spiffe://x.org/y", dns=["x.org"]))),
    *joining("banned"),
    *joining("evicted"),
]
AGENT = spiffe_id(agent_path("agent"))
BANNED, EVICTED = spiffe_id(agent_path("banned")), spiffe_id(agent_path("evicted"))
UNKNOWN = spiffe_id("/spire/agent/unknown")


def each(method: str) -> list[Step]:
    """What is no agent's ID."""
    ids = {
        "none": None,
        "empty": {},
        "workload": spiffe_id("/web"),
        "other domain": spiffe_id("/spire/agent/x", "other.org"),
        "no path": spiffe_id(""),
        "server": spiffe_id("/spire/server"),
        "agents' namespace": spiffe_id("/spire/agent"),
        "malformed": spiffe_id("x"),
        "unknown": UNKNOWN,
    }
    return [
        call(f"{method} {name}", method, **({"id": id_} if id_ else {}))
        for name, id_ in ids.items()
    ]


GETTING = [
    *each(GET),
    call("whole", GET, id=AGENT),
    call("masked to nothing", GET, id=AGENT, output_mask={}),
    *(
        call(f"masked to {name}", GET, id=AGENT, output_mask={name: True})
        for name in (
            "attestation_type",
            "x509svid_serial_number",
            "x509svid_expires_at",
            "selectors",
            "banned",
            "can_reattest",
            "agent_version",
        )
    ),
]


def by(name: str, **chosen: Any) -> list[Step]:
    return [
        call(f"list {name}", LIST, filter=chosen, output_mask={"attestation_type": True}),
        call(f"count {name}", COUNT, filter=chosen),
    ]


SELECTED = {"selectors": [selector("x")]}
FILTERING = [
    call("all", LIST),
    *by("all"),
    *by("type", by_attestation_type="join_token"),
    *by("type unknown", by_attestation_type="zz"),
    *by("banned", by_banned={"value": True}),
    *by("not banned", by_banned={"value": False}),
    *by("reattests", by_can_reattest={"value": True}),
    *by("does not reattest", by_can_reattest={"value": False}),
    *by("expires before long", by_expires_before="2020-01-02 15:04:05 -0700 -07"),
    *by("expires before ages", by_expires_before="2100-01-02 15:04:05 +0000 UTC"),
    *by("expires before ages, number", by_expires_before="2100-01-02 15:04:05 +0000 +00"),
    *by("expires before nonsense", by_expires_before="nonsense"),
    *by("expires before a date", by_expires_before="2100-01-02"),
    *by("no selectors", by_selector_match={}),
    *by("bad selector", by_selector_match={"selectors": [selector(kind="")]}),
    *(
        step
        for match in range(4)
        for step in by(f"match {match}", by_selector_match=SELECTED | {"match": match})
    ),
    *by("both", by_attestation_type="join_token", by_banned={"value": True}),
]
SHORT = {"page_size": 2, "output_mask": {}}
PAGING = [
    Step(
        "two", LIST, {"page_size": 2, "output_mask": {}}, keep={"agents_token": "next_page_token"}
    ),
    Step(
        "the rest",
        LIST,
        {"page_size": 9, "page_token": "{agents_token}", "output_mask": {}},
        keep={"agents_last": "next_page_token"},
    ),
    call("after the last", LIST, page_size=9, page_token="{agents_last}", output_mask={}),
    call("without size", LIST, page_token="{agents_token}", output_mask={}),
    call("bad token", LIST, page_size=1, page_token="abc"),
    call("bad token without size", LIST, page_token="abc", output_mask={}),
]
RENEWED = {"params": {"csr": csr()}}
LIVING = [
    call("status", STATUS, "agent", agent_version="1.2.3", current_bundle_serial=1),
    call("version seen", GET, id=AGENT, output_mask={"agent_version": True}),
    call("longest version", STATUS, "agent", agent_version="v" * 255),
    call("version too long", STATUS, "agent", agent_version="v" * 256),
    call("empty status", STATUS, "agent"),
    call("version gone", GET, id=AGENT, output_mask={"agent_version": True}),
    call("renewal without parameters", RENEW, "agent"),
    call("renewal without request", RENEW, "agent", params={}),
    call("renewal with a bad request", RENEW, "agent", params={"csr": b"x"}),
    Step("renewal", RENEW, RENEWED, "agent", becomes="renewed"),
    call("old serial while the new is unused", ENTRIES, "agent", output_mask={}),
    call("new serial", ENTRIES, "renewed", output_mask={}),
    call("old serial after the new", ENTRIES, "agent"),
    call("old serial at a renewal", RENEW, "agent", **RENEWED),
    call("new serial again", ENTRIES, "renewed", output_mask={}),
]
ALIASED = {"by_spiffe_id": spiffe_id("/aliased")}
LEAVING = [
    *each(BAN),
    call("called before", ENTRIES, "banned", output_mask={}),
    call("ban", BAN, id=BANNED),
    call("banned", GET, id=BANNED),
    call("banned agent calls", ENTRIES, "banned"),
    call("banned agent syncs", "Entry.SyncAuthorizedEntries", "banned"),
    call("ban again", BAN, id=BANNED),
    *by("banned", by_banned={"value": True}),
    call("token again", TOKEN, ttl=600, token="banned-token"),
    attest("banned agent attests", *attestation("banned-token")),
    *each(DELETE),
    call("evict", DELETE, id=EVICTED),
    call("evicted", GET, id=EVICTED),
    call("evicted agent calls", ENTRIES, "evicted"),
    call("evict again", DELETE, id=EVICTED),
    call("token of the evicted again", TOKEN, ttl=600, token="evicted-token"),
    Step("evicted attests", ATTEST, attestation("evicted-token"), "nobody", becomes="evicted"),
    call("evicted is back", ENTRIES, "evicted", output_mask={}),
    call("banned is evicted", DELETE, id=BANNED),
    call("token of the banned again", TOKEN, ttl=600, token="banned-token"),
    attest("banned and evicted attests", *attestation("banned-token")),
    *joining("aliased", alias="/aliased"),
    call("evict it", DELETE, id=spiffe_id(agent_path("aliased"))),
    call(
        "alias entry is gone", "Entry.ListEntries", filter={"by_spiffe_id": spiffe_id("/aliased")}
    ),
]
GROUPS: Groups = {
    "tokens": TOKENS,
    "attestation": ATTESTING,
    "agents got": GETTING,
    "agents filtered": FILTERING,
    "agents paged": PAGING,
    "agents living": LIVING,
    "agents leaving": LEAVING,
}
