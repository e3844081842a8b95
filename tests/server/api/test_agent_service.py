"""The Agent service, over its sockets."""

import asyncio
import logging
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finial.api.spire import types_pb2
from finial.api.spire.server import agent_pb2, entry_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.attestors.node.interface import (
    AttestError,
    AttestReason,
    Challenge,
    NodeAttestation,
)
from finial.attestors.selector import Selector
from finial.runtime.rpc import RpcError
from finial.server.api.convert import encode_spiffe_id
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import X509Svid
from tests.fakes.server_api import ApiLab, Attested, attest_with, csr, reason_of, renew

SYNC_ALL = entry_pb2.GetAuthorizedEntriesRequest()
NODE = SpiffeId.parse("spiffe://example.org/spire/agent/asked/node")


class AskingAttestor:
    """Wants its payload back, reversed, as the answer to its one challenge."""

    type = "asked"

    def __init__(self, *, agent_id: SpiffeId = NODE) -> None:
        self.agent_id = agent_id

    async def attest(self, payload: bytes, challenge: Challenge) -> NodeAttestation:
        if await challenge(payload) != payload[::-1]:
            raise AttestError(AttestReason.REFUSED, "wrong answer")
        selectors = (Selector("asked", "b"), Selector("asked", "a"))
        return NodeAttestation(self.agent_id, selectors, can_reattest=True)


async def token(lab: ApiLab, **request: Any) -> types_pb2.JoinToken:
    message = agent_pb2.CreateJoinTokenRequest(**({"ttl": 600} | request))
    return await AgentStub(lab.local).CreateJoinToken(message)


async def denial(lab: ApiLab, agent: Attested, svid: X509Svid | None = None) -> int:
    """The reason for which a call of the agent's is refused."""
    channel = agent.channel if svid is None else lab.connect(svid)
    with pytest.raises(RpcError) as refused:
        await EntryStub(channel).GetAuthorizedEntries(SYNC_ALL)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    return reason_of(refused.value)


def agent_request(agent_id: SpiffeId) -> agent_pb2.GetAgentRequest:
    return agent_pb2.GetAgentRequest(id=encode_spiffe_id(agent_id))


# -- attestation ---------------------------------------------------------------------------


async def test_a_join_token_makes_an_agent(lab: ApiLab) -> None:
    agent = await lab.attest()
    shown = await AgentStub(lab.local).GetAgent(agent_request(agent.id))
    assert shown.attestation_type == "join_token"
    assert shown.x509svid_serial_number == str(agent.svid.serial)
    assert shown.x509svid_expires_at == agent.svid.not_after
    assert not shown.banned
    assert not shown.can_reattest
    await EntryStub(agent.channel).GetAuthorizedEntries(SYNC_ALL)


async def test_only_the_key_of_the_agents_request_counts(lab: ApiLab) -> None:
    made = await token(lab)
    request = csr(uris=["spiffe://evil.org/root"], dns_names=["evil.org"])
    result = await attest_with(lab.anonymous, made.value, request)
    assert result.svid.id.path == f"/spire/agent/join_token/{made.value}"
    (order,) = lab.issuer.x509_orders
    assert order.spiffe_id.path == result.svid.id.path
    assert order.dns_names == ()
    assert b"evil" not in b"".join(result.svid.cert_chain)


async def test_of_fifty_parallel_attestations_with_one_token_exactly_one_succeeds(
    lab: ApiLab,
) -> None:
    made = await token(lab)
    requests = [csr() for _ in range(50)]
    channels = [lab.connect(None) for _ in range(5)]
    outcomes = await asyncio.gather(
        *(
            attest_with(channels[number % 5], made.value, request)
            for number, request in enumerate(requests)
        ),
        return_exceptions=True,
    )
    refused = [each for each in outcomes if isinstance(each, RpcError)]
    assert len(outcomes) - len(refused) == 1
    assert {(each.code(), each.details()) for each in refused} == {
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "failed to attest: join token does not exist or has already been used",
        )
    }


async def test_a_late_token_is_spent_by_the_attempt(lab: ApiLab) -> None:
    made = await token(lab, ttl=60)
    await lab.clock.advance(61)
    with pytest.raises(RpcError, match="join token expired"):
        await attest_with(lab.anonymous, made.value, csr())
    with pytest.raises(RpcError, match="already been used"):
        await attest_with(lab.anonymous, made.value, csr())


async def test_a_challenge_goes_to_the_agent_and_its_answer_back(lab: ApiLab) -> None:
    lab.attestors["asked"] = AskingAttestor()
    result = await converse(lab, b"payload", b"daolyap")
    assert result.reattestable
    shown = await AgentStub(lab.local).GetAgent(agent_request(NODE))
    assert [each.value for each in shown.selectors] == ["a", "b"]
    assert shown.can_reattest


async def test_a_refusal_carries_the_attestors_name_and_code(lab: ApiLab) -> None:
    lab.attestors["asked"] = AskingAttestor()
    with pytest.raises(RpcError) as refused:
        await converse(lab, b"payload", b"nonsense")
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refused.value.details() == "nodeattestor(asked): wrong answer"


async def test_a_client_that_never_answers_the_challenge_is_refused(lab: ApiLab) -> None:
    lab.attestors["asked"] = AskingAttestor()
    with pytest.raises(RpcError, match="expected a challenge response"):
        await converse(lab, b"payload")


@pytest.mark.parametrize("path", ["/workload", "/spire/agent", "/spire/server"])
async def test_an_attestor_that_names_no_agent_of_ours_makes_none(lab: ApiLab, path: str) -> None:
    lab.attestors["asked"] = AskingAttestor(agent_id=SpiffeId(f"spiffe://example.org{path}"))
    with pytest.raises(RpcError, match="invalid agent ID"):
        await converse(lab, b"x", b"x")
    lab.attestors["asked"] = AskingAttestor(agent_id=SpiffeId(f"spiffe://o.org/spire/agent{path}"))
    with pytest.raises(RpcError, match="invalid agent ID"):
        await converse(lab, b"x", b"x")
    assert lab.issuer.calls == []


async def converse(lab: ApiLab, payload: bytes, *answers: bytes) -> Any:
    params = agent_pb2.AttestAgentRequest.Params(
        data=types_pb2.AttestationData(type="asked", payload=payload),
        params=agent_pb2.AgentX509SVIDParams(csr=csr()),
    )
    requests = [agent_pb2.AttestAgentRequest(params=params)]
    requests += [agent_pb2.AttestAgentRequest(challenge_response=each) for each in answers]
    call: Any = AgentStub(lab.anonymous).AttestAgent(iter(requests))
    async for response in call:
        if response.HasField("result"):
            return response.result
    raise AssertionError("no result")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({}, "missing params"),
        ({"challenge_response": b"x"}, "missing params"),
        ({"params": {}}, "missing attestation data"),
        ({"params": {"data": {}}}, "missing attestation data type"),
        ({"params": {"data": {"type": "t"}}}, "missing attestation data payload"),
        (
            {"params": {"data": {"type": "t", "payload": b"p"}}},
            "missing X509-SVID parameters",
        ),
        ({"params": {"data": {"type": "t", "payload": b"p"}, "params": {}}}, "missing CSR"),
    ],
)
async def test_each_missing_part_of_an_attestation_is_named(
    lab: ApiLab, first: dict[str, Any], message: str
) -> None:
    call: Any = AgentStub(lab.anonymous).AttestAgent(iter([agent_pb2.AttestAgentRequest(**first)]))
    with pytest.raises(RpcError) as refused:
        async for _ in call:
            pass
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == f"malformed param: {message}"


async def test_an_attestor_that_is_not_configured_is_named(lab: ApiLab) -> None:
    with pytest.raises(RpcError) as refused:
        await attest_with(lab.anonymous, "x", csr(), kind="zz")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == (
        'error getting node attestor: could not find node attestor type "zz"'
    )


async def test_the_request_is_looked_at_after_the_evidence(lab: ApiLab) -> None:
    with pytest.raises(RpcError, match="join token does not exist"):
        await attest_with(lab.anonymous, "unknown", b"nonsense")
    made = await token(lab)
    with pytest.raises(RpcError) as refused:
        await attest_with(lab.anonymous, made.value, b"nonsense")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith("failed to parse CSR: ")


async def test_attesting_again_makes_the_old_certificate_useless(lab: ApiLab) -> None:
    old = await lab.attest()
    value = old.id.path.rpartition("/")[2]
    await token(lab, token=value)
    await attest_with(lab.anonymous, value, csr())
    assert await denial(lab, old) == PermissionDeniedDetails.AGENT_NOT_ACTIVE


# -- renewal -------------------------------------------------------------------------------


async def test_both_certificates_work_until_the_new_one_is_used(lab: ApiLab) -> None:
    agent = await lab.attest()
    new = await renew(agent)
    await EntryStub(agent.channel).GetAuthorizedEntries(SYNC_ALL)
    await EntryStub(lab.connect(new)).GetAuthorizedEntries(SYNC_ALL)
    assert await denial(lab, agent) == PermissionDeniedDetails.AGENT_NOT_ACTIVE
    await EntryStub(lab.connect(new)).GetAuthorizedEntries(SYNC_ALL)
    stored = await lab.agents.get(agent.id)
    assert stored is not None
    assert (stored.serial_number, stored.new_serial_number) == (str(new.serial), "")


async def test_the_first_use_counts_on_a_stream_as_well(lab: ApiLab) -> None:
    agent = await lab.attest()
    new = await renew(agent)
    call: Any = EntryStub(lab.connect(new)).SyncAuthorizedEntries(
        iter([entry_pb2.SyncAuthorizedEntriesRequest()])
    )
    async for _ in call:
        pass
    assert await denial(lab, agent) == PermissionDeniedDetails.AGENT_NOT_ACTIVE


async def test_many_first_uses_at_once_are_one_promotion(lab: ApiLab) -> None:
    agent = await lab.attest()
    stub = EntryStub(lab.connect(await renew(agent)))
    await asyncio.gather(*(stub.GetAuthorizedEntries(SYNC_ALL) for _ in range(20)))


async def test_an_agent_that_can_attest_again_must(lab: ApiLab) -> None:
    lab.attestors["asked"] = AskingAttestor()
    key = ec.generate_private_key(ec.SECP256R1())
    lab.issuer.ca.now = lab.clock.time()
    result = await converse(lab, b"x", b"x")
    stored = await lab.agents.get(NODE)
    assert stored is not None
    svid = lab.ca.issue(NODE, key=key, serial=int(stored.serial_number))
    with pytest.raises(RpcError) as refused:
        await renew(Attested(NODE, svid, lab.connect(svid)))
    assert result.reattestable
    assert reason_of(refused.value) == PermissionDeniedDetails.AGENT_MUST_REATTEST


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (agent_pb2.RenewAgentRequest(), "params cannot be nil"),
        (agent_pb2.RenewAgentRequest(params=agent_pb2.AgentX509SVIDParams()), "missing CSR"),
    ],
)
async def test_a_renewal_needs_a_request(
    lab: ApiLab, request_: agent_pb2.RenewAgentRequest, message: str
) -> None:
    agent = await lab.attest()
    with pytest.raises(RpcError) as refused:
        await AgentStub(agent.channel).RenewAgent(request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == message


# -- ban and eviction ----------------------------------------------------------------------


async def test_a_banned_agent_is_refused_and_may_not_attest_until_it_is_evicted(
    lab: ApiLab,
) -> None:
    agent = await lab.attest()
    value = agent.id.path.rpartition("/")[2]
    ban = agent_pb2.BanAgentRequest(id=encode_spiffe_id(agent.id))
    await AgentStub(lab.local).BanAgent(ban)
    assert await denial(lab, agent) == PermissionDeniedDetails.AGENT_BANNED
    assert (await AgentStub(lab.local).GetAgent(agent_request(agent.id))).banned
    await token(lab, token=value)
    lab.issuer.calls.clear()
    with pytest.raises(RpcError, match="failed to attest: agent is banned") as refused:
        await attest_with(lab.anonymous, value, csr())
    assert lab.issuer.calls == []
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await AgentStub(lab.local).DeleteAgent(
        agent_pb2.DeleteAgentRequest(id=encode_spiffe_id(agent.id))
    )
    await token(lab, token=value)
    await attest_with(lab.anonymous, value, csr())


async def test_a_ban_takes_the_renewed_certificate_too(lab: ApiLab) -> None:
    agent = await lab.attest()
    new = await renew(agent)
    ban = agent_pb2.BanAgentRequest(id=encode_spiffe_id(agent.id))
    await AgentStub(lab.local).BanAgent(ban)
    assert await denial(lab, agent, new) == PermissionDeniedDetails.AGENT_BANNED


async def test_an_evicted_agent_is_told_that_it_is_not_attested(lab: ApiLab) -> None:
    agent = await lab.attest()
    evict = agent_pb2.DeleteAgentRequest(id=encode_spiffe_id(agent.id))
    await AgentStub(lab.local).DeleteAgent(evict)
    assert await denial(lab, agent) == PermissionDeniedDetails.AGENT_NOT_ATTESTED
    with pytest.raises(RpcError, match="agent not found"):
        await AgentStub(lab.local).GetAgent(agent_request(agent.id))


async def test_evicting_an_agent_takes_its_alias_entry_along(lab: ApiLab) -> None:
    alias = types_pb2.SPIFFEID(trust_domain="example.org", path="/node/one")
    made = await token(lab, agent_id=alias)
    await attest_with(lab.anonymous, made.value, csr())
    entries = EntryStub(lab.local)
    (entry,) = (await entries.ListEntries(entry_pb2.ListEntriesRequest())).entries
    joined = SpiffeId.parse(f"spiffe://example.org/spire/agent/join_token/{made.value}")
    assert entry.spiffe_id == alias
    assert entry.parent_id == encode_spiffe_id(joined)
    assert [(s.type, s.value) for s in entry.selectors] == [("spiffe_id", joined.uri)]
    await AgentStub(lab.local).DeleteAgent(
        agent_pb2.DeleteAgentRequest(id=encode_spiffe_id(joined))
    )
    assert (await entries.CountEntries(entry_pb2.CountEntriesRequest())).count == 0


@pytest.mark.parametrize("method", ["GetAgent", "BanAgent", "DeleteAgent"])
async def test_an_agent_must_be_named_and_known(lab: ApiLab, method: str) -> None:
    call = getattr(AgentStub(lab.local), method)
    request = getattr(agent_pb2, f"{method}Request")
    for path, code, message in (
        ("/spire/agent/x", grpc.StatusCode.NOT_FOUND, "agent not found"),
        (
            "/x",
            grpc.StatusCode.INVALID_ARGUMENT,
            (
                'invalid agent ID: "spiffe://example.org/x" is not an agent in trust domain '
                '"example.org"; path is not in the agent namespace'
            ),
        ),
        (
            "",
            grpc.StatusCode.INVALID_ARGUMENT,
            (
                'invalid agent ID: "spiffe://example.org" is not an agent in trust domain '
                '"example.org"; path is empty'
            ),
        ),
    ):
        named = request(id=types_pb2.SPIFFEID(trust_domain="example.org", path=path))
        with pytest.raises(RpcError) as refused:
            await call(named)
        assert (refused.value.code(), refused.value.details()) == (code, message)
    with pytest.raises(RpcError, match="invalid agent ID: request must specify SPIFFE ID"):
        await call(request())


# -- lists, tokens, status -----------------------------------------------------------------


async def test_a_walk_over_the_agents_ends_with_an_empty_page(lab: ApiLab) -> None:
    for _ in range(3):
        await lab.attest()
    stub, token_, sizes = AgentStub(lab.local), "", []
    while True:
        request = agent_pb2.ListAgentsRequest(page_size=2, page_token=token_)
        answer = await stub.ListAgents(request)
        sizes.append(len(answer.agents))
        token_ = answer.next_page_token
        if not token_:
            break
    assert sizes == [2, 1, 0]
    everything = await stub.ListAgents(agent_pb2.ListAgentsRequest(page_token="abc"))
    assert len(everything.agents) == 3
    everything = await stub.ListAgents(agent_pb2.ListAgentsRequest(page_size=-1))
    assert len(everything.agents) == 3
    assert everything.next_page_token == ""


async def test_agents_are_filtered_and_masked(lab: ApiLab) -> None:
    agent, other = await lab.attest(), await lab.attest()
    stub = AgentStub(lab.local)
    await stub.BanAgent(agent_pb2.BanAgentRequest(id=encode_spiffe_id(other.id)))
    wanted = agent_pb2.ListAgentsRequest.Filter(by_attestation_type="join_token")
    wanted.by_banned.value = False
    request = agent_pb2.ListAgentsRequest(filter=wanted, output_mask=types_pb2.AgentMask())
    (shown,) = (await stub.ListAgents(request)).agents
    assert shown == types_pb2.Agent(id=encode_spiffe_id(agent.id))
    count = agent_pb2.CountAgentsRequest()
    assert (await stub.CountAgents(count)).count == 2
    count.filter.by_banned.value = True
    assert (await stub.CountAgents(count)).count == 1


async def test_agents_are_found_by_their_end(lab: ApiLab) -> None:
    await lab.attest()
    stub = AgentStub(lab.local)
    for text, count in (
        ("2027-01-15 10:00:00 +0000 UTC", 1),
        ("2027-01-15 09:00:00 +0100 CET", 0),
    ):
        wanted = agent_pb2.CountAgentsRequest.Filter(by_expires_before=text)
        found = await stub.CountAgents(agent_pb2.CountAgentsRequest(filter=wanted))
        assert found.count == count
    for text in ("tomorrow", "2027-01-15 10:00:00", "9999-99-99 00:00:00 +0000 UTC"):
        wanted = agent_pb2.CountAgentsRequest.Filter(by_expires_before=text)
        with pytest.raises(RpcError, match="failed to parse expires before"):
            await stub.CountAgents(agent_pb2.CountAgentsRequest(filter=wanted))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"ttl": 0}, "ttl is required, you must provide one"),
        ({"ttl": -1}, "ttl is required, you must provide one"),
        ({"token": "no spaces"}, "token cannot be part of a SPIFFE ID"),
        ({"agent_id": {}}, "invalid agent ID: request must specify SPIFFE ID"),
        (
            {"agent_id": {"trust_domain": "o.org", "path": "/x"}},
            'invalid agent ID: "spiffe://o.org/x" is not a member of trust domain "example.org"',
        ),
        (
            {"agent_id": {"trust_domain": "example.org", "path": "/spire/agent/x"}},
            "path is in the reserved namespace",
        ),
    ],
)
async def test_a_token_that_cannot_be_made_says_why(
    lab: ApiLab, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await token(lab, **request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in refused.value.details()
    assert (await EntryStub(lab.local).CountEntries(entry_pb2.CountEntriesRequest())).count == 0


async def test_a_token_of_ones_own_can_be_made_once(lab: ApiLab) -> None:
    made = await token(lab, token="my-token", ttl=5)
    assert made.value == "my-token"
    assert made.expires_at == int(lab.clock.time()) + 5
    with pytest.raises(RpcError, match="already exists") as refused:
        await token(lab, token="my-token")
    assert "my-token" not in refused.value.details()


async def test_an_agents_version_is_kept(lab: ApiLab) -> None:
    agent = await lab.attest()
    stub = AgentStub(agent.channel)
    await stub.PostStatus(agent_pb2.PostStatusRequest(agent_version="1.15.3"))
    assert (await lab.agents.get(agent.id)).agent_version == "1.15.3"  # type: ignore[union-attr]
    with pytest.raises(RpcError, match="agent version is too long"):
        await stub.PostStatus(agent_pb2.PostStatusRequest(agent_version="x" * 256))


async def test_an_agents_version_shows_at_once_and_outlives_a_status_without_one(
    lab: ApiLab,
) -> None:
    agent = await lab.attest()
    for version in ("1.15.3", ""):
        await AgentStub(agent.channel).PostStatus(
            agent_pb2.PostStatusRequest(agent_version=version)
        )
        request = agent_pb2.GetAgentRequest(id=encode_spiffe_id(agent.id))
        assert (await AgentStub(lab.local).GetAgent(request)).agent_version == "1.15.3"


async def test_a_count_that_is_refused_does_not_speak_of_a_list(lab: ApiLab) -> None:
    empty = agent_pb2.CountAgentsRequest.Filter(by_selector_match=types_pb2.SelectorMatch())
    with pytest.raises(RpcError, match="failed to count agents: cannot list by empty selectors"):
        await AgentStub(lab.local).CountAgents(agent_pb2.CountAgentsRequest(filter=empty))


async def test_no_token_that_is_still_good_reaches_the_log(
    lab: ApiLab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "finial")
    alias = types_pb2.SPIFFEID(trust_domain="example.org", path="/node/one")
    made = await token(lab, agent_id=alias)
    below = types_pb2.Entry(
        spiffe_id=types_pb2.SPIFFEID(trust_domain="example.org", path="/web"),
        parent_id=types_pb2.SPIFFEID(
            trust_domain="example.org", path=f"/spire/agent/join_token/{made.value}"
        ),
        selectors=[types_pb2.Selector(type="unix", value="uid:1")],
    )
    request = entry_pb2.BatchCreateEntryRequest(entries=[below])
    await EntryStub(lab.local).BatchCreateEntry(request)
    told = [(record.getMessage(), getattr(record, "data", {})) for record in caplog.records]
    assert {"join token created", "entry created", "call finished"} <= {what for what, _ in told}
    assert made.value not in str(told)
