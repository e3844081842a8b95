"""The SVID service: what is ordered of the issuer, and what becomes of its outcomes."""

from dataclasses import replace
from typing import Any

import grpc
import pytest
from cryptography import x509

from finial.api.spire import types_pb2
from finial.api.spire.server import svid_pb2
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.attestors.selector import Selector
from finial.runtime.rpc import RpcError
from finial.server.api.ratelimit import RateLimitSettings
from finial.server.issuance import IssueError, IssueErrorKind
from finial.server.registry.model import Entry
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.server_api import ApiLab, Attested, csr, open_lab
from tests.fakes.waiting import eventually

WEB = "spiffe://example.org/web"
Params = svid_pb2.NewX509SVIDParams


async def entry(lab: ApiLab, agent: Attested, **fields: Any) -> Entry:
    plain = Entry(
        spiffe_id=SpiffeId(WEB), parent_id=agent.id, selectors=(Selector("unix", "uid:1"),)
    )
    wanted = replace(plain, **fields)
    (made,) = await lab.entries.create_many([wanted])
    assert isinstance(made, Entry)
    await lab.reader.caught_up()
    return made


async def mint(lab: ApiLab, request: bytes, ttl: int = 0) -> types_pb2.X509SVID:
    message = svid_pb2.MintX509SVIDRequest(csr=request, ttl=ttl)
    return (await SVIDStub(lab.local).MintX509SVID(message)).svid


async def batch(agent: Attested, *params: Params) -> list[tuple[int, str, types_pb2.X509SVID]]:
    request = svid_pb2.BatchNewX509SVIDRequest(params=params)
    results = (await SVIDStub(agent.channel).BatchNewX509SVID(request)).results
    return [(r.status.code, r.status.message, r.svid) for r in results]


# -- mint ----------------------------------------------------------------------------------


async def test_a_minted_svid_has_the_names_of_its_request(lab: ApiLab) -> None:
    request = csr(uris=[WEB], dns_names=["web.example.org"], common_name="Web")
    svid = await mint(lab, request, ttl=60)
    assert svid.id == types_pb2.SPIFFEID(trust_domain="example.org", path="/web")
    assert svid.expires_at == int(lab.clock.time()) + 60
    (order,) = lab.issuer.x509_orders
    assert (order.kind, order.spiffe_id.uri, order.ttl) == ("workload", WEB, 60)
    # As SPIRE's: with DNS names, the first of them is the common name.
    assert (order.dns_names, order.common_name) == (("web.example.org",), "")
    leaf = x509.load_der_x509_certificate(svid.cert_chain[0])
    assert leaf.not_valid_after_utc.timestamp() == svid.expires_at


FLIPPED = csr(uris=[WEB])[:-1] + bytes([csr(uris=[WEB])[-1] ^ 1])
MALFORMED = {
    "nothing": (b"", "missing CSR"),
    "garbage": (b"\x30\x03\x02\x01\x01", "malformed CSR: "),
    "huge": (b"\x30" * 70_000, "malformed CSR: longer than "),
    "no URI": (csr(), "CSR URI SAN is required"),
    "no URI but a name": (csr(dns_names=["a.org"]), "CSR URI SAN is required"),
    "two URIs": (csr(uris=[WEB, WEB + "2"]), "only one URI SAN is expected"),
    "no SPIFFE ID": (csr(uris=["https://example.org"]), "CSR URI SAN is invalid: scheme"),
    "foreign": (
        csr(uris=["spiffe://o.org/web"]),
        'CSR URI SAN is invalid: "spiffe://o.org/web" is not a member of trust domain',
    ),
    "pathless": (csr(uris=["spiffe://example.org"]), "CSR URI SAN is invalid: "),
    "reserved": (csr(uris=["spiffe://example.org/spire/server"]), "CSR URI SAN is invalid: "),
    "DNS": (csr(uris=[WEB], dns_names=["a..b"]), "CSR DNS name is invalid: "),
    "wildcard": (
        csr(uris=[WEB], dns_names=["*.b.org", "a.b.org"]),
        "CSR DNS name contains a wildcard that covers another non-wildcard name: a.b.org",
    ),
    "signature": (FLIPPED, "failed to verify CSR signature: "),
}


@pytest.mark.parametrize(("request_", "text"), MALFORMED.values(), ids=MALFORMED)
async def test_a_request_that_cannot_be_minted_says_why(
    lab: ApiLab, request_: bytes, text: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await mint(lab, request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(text)


async def test_a_token_is_minted_by_name(lab: ApiLab) -> None:
    request = svid_pb2.MintJWTSVIDRequest(
        id={"trust_domain": "example.org", "path": "/web"},  # type: ignore[arg-type]
        audience=["a", "b"],
        ttl=60,
    )
    svid = (await SVIDStub(lab.local).MintJWTSVID(request)).svid
    (order,) = lab.issuer.jwt_orders
    assert (order.spiffe_id.uri, order.audience, order.ttl) == (WEB, ("a", "b"), 60)
    assert (svid.issued_at, svid.expires_at - svid.issued_at) == (int(lab.clock.time()), 60)
    assert svid.token.count(".") == 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"audience": ["a"]}, "invalid SPIFFE ID: request must specify SPIFFE ID"),
        (
            {"id": {"trust_domain": "example.org", "path": "/spire/agent/x"}, "audience": ["a"]},
            "invalid SPIFFE ID: ",
        ),
        (
            {"id": {"trust_domain": "example.org", "path": "/x"}},
            "at least one audience is required",
        ),
    ],
)
async def test_a_token_that_cannot_be_minted_says_why(
    lab: ApiLab, fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await SVIDStub(lab.local).MintJWTSVID(svid_pb2.MintJWTSVIDRequest(**fields))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(text)


# -- for agents ----------------------------------------------------------------------------


async def test_a_batch_is_one_order_and_answers_item_by_item(lab: ApiLab) -> None:
    agent, other = await lab.attest(), await lab.attest()
    made = await entry(lab, agent, hint="h", dns_names=("w.org",), x509_svid_ttl=90)
    foreign = await entry(lab, other, spiffe_id=SpiffeId("spiffe://example.org/other"))
    lab.issuer.calls.clear()
    good = csr(uris=["spiffe://evil.org/x"])
    results = await batch(
        agent,
        Params(csr=good),
        Params(entry_id=made.id),
        Params(entry_id=made.id, csr=good),
        Params(entry_id=foreign.id, csr=good),
        Params(entry_id="unknown", csr=good),
        Params(entry_id=made.id, csr=b"nonsense"),
        Params(entry_id=made.id, csr=FLIPPED),
    )
    assert [(code, text.partition(":")[0]) for code, text, _ in results] == [
        (3, "missing entry ID"),
        (3, "missing CSR"),
        (0, "OK"),
        (5, "entry not found or not authorized"),
        (5, "entry not found or not authorized"),
        (3, "malformed CSR"),
        (3, "invalid CSR signature"),
    ]
    svid = results[2][2]
    assert (svid.id.path, svid.hint) == ("/web", "h")
    assert svid.expires_at == int(lab.clock.time()) + 90
    assert len(lab.issuer.calls) == 1
    order = lab.issuer.x509_orders[0]
    assert (order.entry_id, order.agent_id) == (made.id, agent.id.uri)
    assert (order.spiffe_id.uri, order.dns_names) == (WEB, ("w.org",))


async def test_a_batch_of_nothing_is_refused(lab: ApiLab) -> None:
    agent = await lab.attest()
    with pytest.raises(RpcError, match="missing parameters"):
        await batch(agent)


async def test_what_the_signers_cannot_do_now_is_said_for_each_item(lab: ApiLab) -> None:
    agent = await lab.attest()
    made = await entry(lab, agent)
    lab.issuer.refusal = IssueError(IssueErrorKind.UNAVAILABLE, "no signer")
    (result,) = await batch(agent, Params(entry_id=made.id, csr=csr()))
    assert result[:2] == (14, "failed to sign: no signer")
    with pytest.raises(RpcError, match="no signer") as refused:
        await mint(lab, csr(uris=[WEB]))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_token_for_an_entry_is_as_the_entry_says(lab: ApiLab) -> None:
    agent = await lab.attest()
    made = await entry(lab, agent, hint="h", jwt_svid_ttl=42, jwt_svid_include_jti=True)
    request = svid_pb2.NewJWTSVIDRequest(entry_id=made.id, audience=["a"])
    svid = (await SVIDStub(agent.channel).NewJWTSVID(request)).svid
    assert (svid.hint, svid.id.path, svid.expires_at - svid.issued_at) == ("h", "/web", 42)
    (order,) = lab.issuer.jwt_orders
    assert (order.entry_id, order.agent_id) == (made.id, agent.id.uri)
    assert order.include_jti


async def test_a_token_for_an_entry_of_others_is_refused_before_the_audience_is_read(
    lab: ApiLab,
) -> None:
    agent = await lab.attest()
    foreign = await entry(lab, await lab.attest())
    for entry_id in ("", "unknown", foreign.id):
        with pytest.raises(RpcError) as refused:
            await SVIDStub(agent.channel).NewJWTSVID(svid_pb2.NewJWTSVIDRequest(entry_id=entry_id))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert refused.value.details() == "entry not found or not authorized"
    made = await entry(lab, agent)
    with pytest.raises(RpcError, match="at least one audience is required"):
        await SVIDStub(agent.channel).NewJWTSVID(svid_pb2.NewJWTSVIDRequest(entry_id=made.id))


async def test_a_deleted_entry_gives_no_more_documents(lab: ApiLab) -> None:
    agent = await lab.attest()
    made = await entry(lab, agent)
    await lab.entries.delete_many([made.id])
    await lab.reader.caught_up()
    (result,) = await batch(agent, Params(entry_id=made.id, csr=csr()))
    assert result[:2] == (5, "entry not found or not authorized")


async def test_five_hundred_and_one_certificates_are_too_many_for_one_call(tmp_path: Any) -> None:
    async with open_lab(tmp_path, limits=RateLimitSettings()) as lab:
        agent = await lab.attest()
        with pytest.raises(RpcError) as refused:
            await batch(agent, *(Params(entry_id="x", csr=b"x") for _ in range(501)))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.details() == (
        "rejecting request due to certificate signing rate limiting: "
        "rate (501) exceeds burst size (500)"
    )


async def test_tokens_can_be_switched_off(tmp_path: Any) -> None:
    async with open_lab(tmp_path, jwt_enabled=False) as lab:
        agent = await lab.attest()
        for call in (
            SVIDStub(lab.local).MintJWTSVID(svid_pb2.MintJWTSVIDRequest()),
            SVIDStub(agent.channel).NewJWTSVID(svid_pb2.NewJWTSVIDRequest()),
        ):
            with pytest.raises(RpcError, match="JWT functionality is disabled") as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_tokens_over_the_rate_wait(tmp_path: Any) -> None:
    async with open_lab(tmp_path, limits=RateLimitSettings()) as lab:
        agent = await lab.attest()
        made = await entry(lab, agent)
        stub = SVIDStub(agent.channel)
        request = svid_pb2.NewJWTSVIDRequest(entry_id=made.id, audience=["a"])
        for _ in range(500):
            await stub.NewJWTSVID(request)
        with pytest.raises(RpcError, match="JWT signing request rate limiting") as refused:
            await stub.NewJWTSVID(request, timeout=0.001)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        # What the caller may have is judged when its turn has come.
        late = stub.NewJWTSVID(request)
        await eventually(lambda: lab.api.limits.waiting == 1)
        await lab.entries.delete_many([made.id])
        await lab.reader.caught_up()
        await lab.clock.advance(1.0)
        with pytest.raises(RpcError, match="entry not found or not authorized"):
            await late
