"""NewDownstreamX509CA: who gets an authority of its own, and what is told with it."""

from pathlib import Path

import grpc
import pytest

from finial.api.spire.server import svid_pb2
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.attestors.selector import Selector
from finial.runtime.rpc import Channel, RpcError
from finial.server.api.ratelimit import RateLimitSettings
from finial.server.issuance import IssueError, IssueErrorKind
from finial.server.registry.model import Entry
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.server_api import ApiLab, csr, open_lab

NESTED = SpiffeId.parse("spiffe://example.org/nested")
CSR = csr()


async def nested(lab: ApiLab, *, downstream: bool = True) -> tuple[Channel, str]:
    """The bearer of an SVID with an entry, and the entry's ID."""
    entry = Entry(
        spiffe_id=NESTED,
        parent_id=SpiffeId.parse("spiffe://example.org/node"),
        selectors=(Selector("unix", "uid:1"),),
        downstream=downstream,
    )
    (made,) = await lab.entries.create_many([entry])
    assert isinstance(made, Entry)
    await lab.reader.caught_up()
    return lab.connect(lab.ca.issue(NESTED)), made.id


async def ask(
    channel: Channel, request: bytes = CSR, ttl: int = 0
) -> svid_pb2.NewDownstreamX509CAResponse:
    message = svid_pb2.NewDownstreamX509CARequest(csr=request, preferred_ttl=ttl)
    return await SVIDStub(channel).NewDownstreamX509CA(message)


async def refusal(channel: Channel) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(RpcError) as error:
        await ask(channel)
    return error.value.code(), error.value.details()


@pytest.mark.parametrize(("wanted", "ordered"), [(0, 0), (600, 600), (-1, 0)])
async def test_a_downstream_server_gets_a_chain_and_the_roots(
    lab: ApiLab, wanted: int, ordered: int
) -> None:
    channel, entry_id = await nested(lab)
    answer = await ask(channel, ttl=wanted)
    (order,) = lab.issuer.downstream_orders
    assert (order.csr, order.caller, order.entry_id) == (CSR, NESTED, entry_id)
    assert order.ttl == ordered
    assert len(answer.ca_cert_chain) == 1
    bundle = lab.ca.bundle()
    assert list(answer.x509_authorities) == [each.der for each in bundle.x509_authorities]


async def test_nobody_else_gets_one(lab: ApiLab) -> None:
    workload, _ = await nested(lab, downstream=False)
    agent = await lab.attest()
    for channel in (workload, agent.channel, lab.local, lab.anonymous):
        code, _ = await refusal(channel)
        assert code is grpc.StatusCode.PERMISSION_DENIED
    assert not lab.issuer.downstream_orders


async def test_switched_off_there_are_none(tmp_path: Path) -> None:
    async with open_lab(tmp_path, downstream_enabled=False) as lab:
        channel, _ = await nested(lab)
        code, text = await refusal(channel)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "downstream_authorities = true" in text
        assert not lab.issuer.downstream_orders


@pytest.mark.parametrize(
    ("kind", "code", "text"),
    [
        (IssueErrorKind.MALFORMED_CSR, "INVALID_ARGUMENT", "malformed CSR: why"),
        (IssueErrorKind.BAD_CSR_SIGNATURE, "INVALID_ARGUMENT", "invalid CSR signature: why"),
        (IssueErrorKind.KEY_TOO_WEAK, "INVALID_ARGUMENT", "CSR key is not acceptable: why"),
        (IssueErrorKind.REFUSED_BY_POLICY, "INTERNAL", "failed to sign downstream X.509 CA: why"),
        (IssueErrorKind.UNAVAILABLE, "UNAVAILABLE", "failed to sign downstream X.509 CA: why"),
    ],
)
async def test_a_refusal_is_told_in_spires_words(
    lab: ApiLab, kind: IssueErrorKind, code: str, text: str
) -> None:
    channel, _ = await nested(lab)
    lab.issuer.refusal = IssueError(kind, "why")
    assert await refusal(channel) == (grpc.StatusCode[code], text)


async def test_it_shares_the_rate_of_certificates(tmp_path: Path) -> None:
    limits = RateLimitSettings(attestation=False, signing=True, signatures_per_second=1)
    async with open_lab(tmp_path, limits=limits) as lab:
        channel, _ = await nested(lab)
        await ask(channel)
        message = svid_pb2.NewDownstreamX509CARequest(csr=CSR)
        with pytest.raises(RpcError) as error:
            await SVIDStub(channel).NewDownstreamX509CA(message, timeout=0.2)
        assert error.value.code() in {
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        }
        assert len(lab.issuer.downstream_orders) == 1
