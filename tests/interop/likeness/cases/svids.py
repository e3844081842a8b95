"""Documents: minted for operators, signed for agents, authorities for downstream servers."""

from __future__ import annotations

from tests.interop.likeness.steps import (
    DOMAIN,
    Groups,
    Step,
    agent_path,
    call,
    csr,
    entry,
    joining,
    spiffe_id,
    unsigned,
)

MINT, MINT_JWT = "SVID.MintX509SVID", "SVID.MintJWTSVID"
BATCH, JWT, DOWN = "SVID.BatchNewX509SVID", "SVID.NewJWTSVID", "SVID.NewDownstreamX509CA"
MINTED = f"spiffe://{DOMAIN}/minted"
WITS = "MintWITSVID", "BatchNewWITSVID"


def mint(name: str, request: bytes = b"", ttl: int = 0) -> Step:
    return call(name, MINT, csr=request, ttl=ttl)


X509 = [
    mint("no request"),
    mint("malformed", b"x"),
    mint("bad signature", unsigned(csr(MINTED))),
    mint("no URI", csr()),
    mint("two URIs", csr(MINTED, f"{MINTED}2")),
    mint("reserved", csr(f"spiffe://{DOMAIN}/spire/agent/x")),
    mint("other domain", csr("spiffe://other.org/x")),
    mint("no path", csr(f"spiffe://{DOMAIN}")),
    mint("not a SPIFFE ID", csr("https://example.org/x")),
    mint("malformed ID", csr(f"spiffe://{DOMAIN}/a//b")),
    mint("plain", csr(MINTED)),
    mint("lifetime", csr(MINTED), 600),
    mint("lifetime of a month", csr(MINTED), 30 * 86400),
    mint("negative lifetime", csr(MINTED), -600),
    mint("DNS names", csr(MINTED, dns=["a.example.org", "b"])),
    mint("common name", csr(MINTED, name="common")),
    mint("common name and DNS names", csr(MINTED, name="common", dns=["a.example.org"])),
    mint("wildcard", csr(MINTED, dns=["*.example.org"])),
    mint("wildcard over another", csr(MINTED, dns=["*.example.org", "a.example.org"])),
    mint("wildcard beside another", csr(MINTED, dns=["*.example.org", "a.b.example.org"])),
    mint("bad DNS name", csr(MINTED, dns=["-a"])),
    mint("wildcard inside", csr(MINTED, dns=["a.*.b"])),
]
SUBJECT, AUDIENCE = spiffe_id("/minted"), ["one", "two"]
JWTS = [
    call("nothing", MINT_JWT),
    call("no ID", MINT_JWT, audience=AUDIENCE),
    call("no audience", MINT_JWT, id=SUBJECT),
    call("empty audience", MINT_JWT, id=SUBJECT, audience=[""]),
    call("other domain", MINT_JWT, id=spiffe_id("/x", "other.org"), audience=AUDIENCE),
    call("reserved", MINT_JWT, id=spiffe_id("/spire/x"), audience=AUDIENCE),
    call("no path", MINT_JWT, id=spiffe_id(""), audience=AUDIENCE),
    call("malformed", MINT_JWT, id=spiffe_id("x"), audience=AUDIENCE),
    call("plain", MINT_JWT, id=SUBJECT, audience=AUDIENCE),
    call("one audience", MINT_JWT, id=SUBJECT, audience=["one"]),
    call("lifetime", MINT_JWT, id=SUBJECT, audience=["one"], ttl=600),
    call("lifetime of a month", MINT_JWT, id=SUBJECT, audience=["one"], ttl=30 * 86400),
    call("negative lifetime", MINT_JWT, id=SUBJECT, audience=["one"], ttl=-600),
]
PARENT = spiffe_id(agent_path("signed"))
OWN = [
    entry("/sign/plain", id="s-plain", parent_id=PARENT),
    entry(
        "/sign/all",
        id="s-all",
        parent_id=PARENT,
        x509_svid_ttl=600,
        jwt_svid_ttl=120,
        dns_names=["a.example.org", "b"],
        hint="hinted",
        additional_attributes={"jwt_svid_include_jti": True},
    ),
    entry("/sign/admin", id="s-admin", parent_id=PARENT, admin=True),
    entry("/sign/down", id="s-down", parent_id=PARENT, downstream=True),
    entry("/sign/stored", id="s-stored", parent_id=PARENT, store_svid=True),
    entry("/sign/child", id="s-child", parent_id=spiffe_id("/sign/plain")),
    entry("/sign/foreign", id="s-foreign", parent_id=spiffe_id("/spire/agent/other")),
    entry("/sign/month", id="s-month", parent_id=PARENT, x509_svid_ttl=30 * 86400),
]
SEEN = 7


def batch(name: str, *params: tuple[str, bytes]) -> Step:
    asked = [{"entry_id": one, "csr": request} for one, request in params]
    return call(name, BATCH, "signed", params=asked)


SIGNING = [
    *joining("signed"),
    call("entries", "Entry.BatchCreateEntry", entries=OWN, output_mask={}),
    Step(
        "entries seen",
        "Entry.GetAuthorizedEntries",
        {"output_mask": {}},
        "signed",
        unordered=True,
        until=lambda shown: len(shown.first.get("entries", ())) == SEEN,
    ),
    batch("nothing"),
    batch(
        "each mistake",
        ("", csr()),
        ("s-plain", b""),
        ("", b""),
        ("unknown", csr()),
        ("unknown", b"x"),
        ("s-foreign", csr()),
        ("s-plain", b"x"),
        ("s-plain", unsigned(csr())),
        ("s-plain", csr()),
    ),
    batch("every entry", *((each["id"], csr()) for each in OWN)),
    batch("names of the request", ("s-plain", csr(MINTED, dns=["x.org"], name="x"))),
    batch("the same twice", ("s-plain", csr()), ("s-plain", csr())),
    batch("more than at once", *[("", b"")] * 501),
    call("JWT of no entry", JWT, "signed", audience=AUDIENCE),
    call("JWT of an unknown entry", JWT, "signed", entry_id="unknown"),
    call("JWT of a foreign entry", JWT, "signed", entry_id="s-foreign", audience=AUDIENCE),
    call("JWT without audience", JWT, "signed", entry_id="s-plain"),
    call("JWT of an empty audience", JWT, "signed", entry_id="s-plain", audience=[""]),
    *(
        call(f"JWT of {each['id']}", JWT, "signed", entry_id=each["id"], audience=AUDIENCE)
        for each in OWN
    ),
    call("mint a WIT", "SVID.MintWITSVID"),
    call("WIT", "SVID.BatchNewWITSVID", "signed"),
    call("WIT of an entry", "SVID.BatchNewWITSVID", "signed", params=[{"entry_id": "s-plain"}]),
]
DOWNSTREAM = [
    Step("SVID", MINT, {"csr": csr(f"spiffe://{DOMAIN}/sign/down")}, becomes="downstream"),
    Step(
        "authority",
        DOWN,
        {"csr": csr()},
        "downstream",
        until=lambda shown: shown.code == "OK",
    ),
    call("no request", DOWN, "downstream"),
    call("bad request", DOWN, "downstream", csr=b"x"),
    call("bad signature", DOWN, "downstream", csr=unsigned(csr())),
    call("lifetime", DOWN, "downstream", csr=csr(), preferred_ttl=600),
    call("lifetime of a month", DOWN, "downstream", csr=csr(), preferred_ttl=30 * 86400),
    call("negative lifetime", DOWN, "downstream", csr=csr(), preferred_ttl=-600),
    call("foreign names", DOWN, "downstream", csr=csr("spiffe://other.org", name="x")),
]
GROUPS: Groups = {
    "minted X.509": X509,
    "minted JWT": JWTS,
    "signed": SIGNING,
    "downstream": DOWNSTREAM,
}
