"""Who may call what: every method by every kind of caller whom an empty request cannot serve."""

from __future__ import annotations

from tests.interop.likeness.playing import SERVICES
from tests.interop.likeness.steps import (
    DOMAIN,
    Groups,
    Step,
    attestation,
    call,
    csr,
    entry,
    joining,
    spiffe_id,
)

ON_TCP = "Agent", "Bundle", "Entry", "LocalAuthority", "SVID", "TrustDomain"
METHODS = [
    f"{service}.{method.name}"
    for service in ON_TCP
    for method in SERVICES[service][0].DESCRIPTOR.services_by_name[service].methods
]
ONLY_AGENTS = [
    "Agent.RenewAgent",
    "Agent.PostStatus",
    "Entry.GetAuthorizedEntries",
    "Entry.SyncAuthorizedEntries",
    "SVID.BatchNewX509SVID",
    "SVID.NewJWTSVID",
    "SVID.BatchNewWITSVID",
]
ONLY_DOWNSTREAM = [
    "SVID.NewDownstreamX509CA",
    "Bundle.PublishJWTAuthority",
    "Bundle.PublishWITAuthority",
]
READING = [
    method
    for method in METHODS
    if method.partition(".")[2].startswith(("Get", "List", "Count")) and method not in ONLY_AGENTS
]
BARRED = "nobody", "workload", "below"
"""Who has no right that any method but two asks for."""


def svid(caller: str, path: str) -> Step:
    request = csr(f"spiffe://{DOMAIN}{path}")
    return Step(f"SVID for {caller}", "SVID.MintX509SVID", {"csr": request}, becomes=caller)


def asked(methods: list[str], caller: str, *when: str) -> list[Step]:
    return [call(" ".join((method, "by", caller, *when)), method, caller) for method in methods]


CALLERS = [
    *joining("attested"),
    svid("workload", "/rights/workload"),
    svid("configured", "/configured-admin"),
    svid("admin", "/rights/admin"),
    svid("below", "/rights/below"),
    call(
        "entries",
        "Entry.BatchCreateEntry",
        entries=[
            entry("/rights/workload", id="r-workload"),
            entry("/rights/admin", id="r-admin", admin=True),
        ],
        output_mask={},
    ),
]
RIGHTS = [
    *(step for caller in BARRED for step in asked(METHODS, caller)),
    *asked([each for each in METHODS if each != "Agent.AttestAgent"], "attested"),
    *(
        step
        for caller in ("local", "configured", "admin")
        for step in asked([*ONLY_AGENTS, *ONLY_DOWNSTREAM], caller)
    ),
    *(step for caller in ("configured", "admin") for step in asked(READING, caller)),
    *asked(ONLY_AGENTS, "downstream"),
    call("evict", "Agent.DeleteAgent", id=spiffe_id("/spire/agent/join_token/attested-token")),
    *asked(METHODS, "attested", "when evicted"),
    call("admin's entry is gone", "Entry.BatchDeleteEntry", ids=["r-admin"]),
    call("no admin any more", "Entry.CountEntries", "admin"),
    call("entries", "Entry.BatchDeleteEntry", ids=["r-workload"]),
]
LIVES = [
    Step(
        "SVID of 3 s",
        "SVID.MintX509SVID",
        {"csr": csr(f"spiffe://{DOMAIN}/rights/expiring"), "ttl": 3},
        becomes="expiring",
    ),
    call("unexpired", "Entry.GetAuthorizedEntries", "expiring"),
    Step(
        "expired",
        "Entry.GetAuthorizedEntries",
        caller="expiring",
        until=lambda shown: shown.reasons != ["AGENT_NOT_ATTESTED"],
    ),
    call("expired, no agent's method", "Entry.CountEntries", "expiring"),
    call("expired, anybody's method", "Bundle.GetBundle", "expiring", output_mask={}),
    Step("a token past its end", "Agent.AttestAgent", attestation("expires"), "nobody"),
    Step("the token once more", "Agent.AttestAgent", attestation("expires"), "nobody"),
]
GROUPS: Groups = {"callers": CALLERS, "rights": RIGHTS, "lives": LIVES}
