"""Rights that end while a connection, a stream or a signature is under way.

The gate judges calls, not connections: what was good at the handshake is judged anew at each call,
before an answer that took time to make, and for every open stream when something changes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.api.spire.server import agent_pb2, entry_pb2, svid_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.api.spire.types_pb2 import PermissionDeniedDetails as Details
from finial.attestors.selector import Selector
from finial.runtime.observe import CallInfo
from finial.runtime.rpc import Channel, RpcError, StatusError
from finial.server.api.authorization import CallerKind
from finial.server.api.convert import encode_spiffe_id
from finial.server.api.gate import Identity
from finial.server.api.ratelimit import RateLimits
from finial.server.api.svid_service import SvidService
from finial.server.issuance import IssuedJwt, IssuedX509, IssueError, JwtOrder, X509Order
from finial.server.registry.model import Entry, JoinToken
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import X509Svid, verify_chain
from tests.fakes.ca import FakeCa, pkcs8
from tests.fakes.call import FakeCall, svid_caller
from tests.fakes.issuer import FakeIssuer
from tests.fakes.server_api import ADMIN_ID, OFF, ApiLab, Attested, attest_with, csr
from tests.fakes.waiting import eventually
from tests.threats.conftest import Told

Sync = entry_pb2.SyncAuthorizedEntriesRequest
Take = Callable[[ApiLab, Attested], Awaitable[None]]


async def ban(lab: ApiLab, agent: Attested) -> None:
    request = agent_pb2.BanAgentRequest(id=encode_spiffe_id(agent.id))
    await AgentStub(lab.local).BanAgent(request)


async def evict(lab: ApiLab, agent: Attested) -> None:
    request = agent_pb2.DeleteAgentRequest(id=encode_spiffe_id(agent.id))
    await AgentStub(lab.local).DeleteAgent(request)


async def revoke_its_authority(lab: ApiLab, _: Attested) -> None:
    await lab.bundles.put(FakeCa("example.org").bundle())
    await lab.reader.caught_up()


async def renew_and_use(lab: ApiLab, agent: Attested) -> None:
    await post_status(lab.connect(await renewed(agent.channel)))


TAKEN: dict[str, tuple[Take, grpc.StatusCode, int | None, str]] = {
    "ban": (ban, grpc.StatusCode.PERMISSION_DENIED, Details.AGENT_BANNED, "agent is banned"),
    "eviction": (
        evict,
        grpc.StatusCode.PERMISSION_DENIED,
        Details.AGENT_NOT_ATTESTED,
        "agent is not attested",
    ),
    "revocation": (
        revoke_its_authority,
        grpc.StatusCode.UNAUTHENTICATED,
        None,
        "untrusted authority",
    ),
}


@pytest.fixture
async def agent(lab: ApiLab) -> Attested:
    return await lab.attest()


async def post_status(channel: Channel) -> None:
    await AgentStub(channel).PostStatus(agent_pb2.PostStatusRequest(agent_version="1"))


async def renewed(channel: Channel) -> X509Svid:
    key = ec.generate_private_key(ec.SECP256R1())
    params = agent_pb2.AgentX509SVIDParams(csr=csr(key))
    answer = await AgentStub(channel).RenewAgent(agent_pb2.RenewAgentRequest(params=params))
    return X509Svid.parse(tuple(answer.svid.cert_chain), pkcs8(key))


async def open_stream(lab: ApiLab, channel: Channel, parent: SpiffeId) -> Any:
    """A synchronisation that has had its first answer and stays open: there are many entries."""
    wanted = [
        Entry(
            spiffe_id=SpiffeId(f"spiffe://example.org/w{number}"),
            parent_id=parent,
            selectors=(Selector("unix", "uid:1"),),
        )
        for number in range(501)
    ]
    await lab.entries.create_many(wanted)
    await lab.reader.caught_up()
    stream: Any = EntryStub(channel).SyncAuthorizedEntries()
    await stream.write(Sync())
    answer = await stream.read()
    assert len(answer.entry_revisions) == 500
    assert (await stream.read()).entry_revisions
    return stream


def reason_of(error: RpcError) -> int | None:
    for packed in error.status_details():
        details = Details()
        assert packed.Unpack(details)
        return details.reason
    return None


# -- between two calls of one connection -----------------------------------------------------


@pytest.mark.parametrize("name", TAKEN)
async def test_the_next_call_on_the_same_connection_is_refused(
    lab: ApiLab, agent: Attested, told: Told, name: str
) -> None:
    take, code, reason, why = TAKEN[name]
    await post_status(agent.channel)
    connection = agent.channel._connection
    await take(lab, agent)
    with pytest.raises(RpcError) as refused:
        await post_status(agent.channel)
    assert agent.channel._connection is connection
    assert refused.value.code() is code
    assert reason_of(refused.value) == reason
    assert why not in (refused.value.details() or "")
    await eventually(lambda: [line for line in told("call finished") if "error" in line])
    (line,) = [line for line in told("call finished") if line["code"] == code.name]
    assert line["error"].endswith(f"({why})")
    assert line["caller"] == agent.id.uri
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert line["correlation_id"]
    assert line["correlation_id"] not in (refused.value.details() or "")


async def test_a_connection_and_its_streams_do_not_outlive_the_certificate(
    lab: ApiLab, agent: Attested
) -> None:
    stream = await open_stream(lab, agent.channel, agent.id)
    await lab.clock.advance(agent.svid.not_after - lab.clock.time() - 1)
    await stream.write(Sync(ids=["no such entry"]))
    await stream.read()
    await lab.clock.advance(2)
    with pytest.raises(RpcError) as ended:
        await stream.read()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not agent.channel._leaving
    with pytest.raises(RpcError) as refused:
        await post_status(agent.channel)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_tainted_authority_lets_its_agents_in_so_that_they_can_renew(
    lab: ApiLab, agent: Attested
) -> None:
    """Until it is revoked; as SPIRE does, and unlike revocation."""
    await lab.bundles.put(lab.ca.bundle(tainted=True))
    await lab.reader.caught_up()
    for channel in (agent.channel, lab.connect(agent.svid)):
        await post_status(channel)
    await renewed(agent.channel)


async def test_renewal_leaves_two_serials_until_the_new_one_is_used(
    lab: ApiLab, agent: Attested
) -> None:
    newer = await renewed(agent.channel)
    await post_status(agent.channel)
    again = await renewed(agent.channel)
    with pytest.raises(RpcError) as forgotten:
        await post_status(lab.connect(newer))
    assert reason_of(forgotten.value) == Details.AGENT_NOT_ACTIVE
    await post_status(lab.connect(again))
    with pytest.raises(RpcError) as superseded:
        await post_status(agent.channel)
    assert superseded.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason_of(superseded.value) == Details.AGENT_NOT_ACTIVE
    with pytest.raises(RpcError):
        await renewed(agent.channel)


async def test_a_ban_reaches_the_renewed_certificate_as_well(lab: ApiLab, agent: Attested) -> None:
    newer = await renewed(agent.channel)
    await ban(lab, agent)
    for channel in (agent.channel, lab.connect(newer)):
        with pytest.raises(RpcError) as refused:
            await post_status(channel)
        assert reason_of(refused.value) == Details.AGENT_BANNED


async def test_a_banned_agent_cannot_attest_its_way_back(lab: ApiLab, agent: Attested) -> None:
    await ban(lab, agent)
    token = agent.id.path.rpartition("/")[2]
    with pytest.raises(RpcError):
        await attest_with(lab.anonymous, token, csr())


# -- streams and calls that are open ---------------------------------------------------------


@pytest.mark.parametrize("name", TAKEN)
async def test_an_open_stream_is_ended_without_another_word_of_the_agent(
    lab: ApiLab, agent: Attested, name: str
) -> None:
    take, code, reason, _ = TAKEN[name]
    stream = await open_stream(lab, agent.channel, agent.id)
    await take(lab, agent)
    with pytest.raises(RpcError) as ended:
        await stream.read()
    assert ended.value.code() is code
    assert reason_of(ended.value) == reason


async def test_a_stream_with_a_replaced_certificate_is_ended_with_leave_to_come_again(
    lab: ApiLab, agent: Attested
) -> None:
    stream = await open_stream(lab, agent.channel, agent.id)
    await renew_and_use(lab, agent)
    with pytest.raises(RpcError, match="call again with the new one") as ended:
        await stream.read()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(ended.value) is None


async def test_streams_of_others_go_on(lab: ApiLab, agent: Attested) -> None:
    other = await lab.attest()
    stream = await open_stream(lab, other.channel, other.id)
    await ban(lab, agent)
    await stream.write(Sync(ids=["no such entry"]))
    assert not (await stream.read()).entries
    stream.cancel()


async def test_the_gate_keeps_no_call_that_has_ended(lab: ApiLab, agent: Attested) -> None:
    stream = await open_stream(lab, agent.channel, agent.id)
    assert len(lab.api.gate._open) == 1
    stream.cancel()
    await post_status(agent.channel)
    with pytest.raises(RpcError):
        await EntryStub(agent.channel).ListEntries(entry_pb2.ListEntriesRequest())
    await eventually(lambda: not lab.api.gate._open)


async def test_an_administrators_long_call_ends_with_its_entry(lab: ApiLab) -> None:
    held = HeldIssuer(lab)
    path = "spiffe://example.org/admin"
    admin = Entry(
        spiffe_id=SpiffeId(path),
        parent_id=ADMIN_ID,
        selectors=(Selector("unix", "uid:1"),),
        admin=True,
    )
    (made,) = await lab.entries.create_many([admin])
    assert isinstance(made, Entry)
    await lab.reader.caught_up()
    channel = lab.connect(lab.ca.issue(path))
    mint = svid_pb2.MintX509SVIDRequest(csr=csr(uris=["spiffe://example.org/web"]))
    minting = asyncio.ensure_future(SVIDStub(channel).MintX509SVID(mint))
    await held.asked.wait()
    await lab.entries.delete_many([made.id])
    await lab.reader.caught_up()
    with pytest.raises(RpcError) as refused:
        await minting
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


# -- while a signer works --------------------------------------------------------------------


class HeldIssuer(FakeIssuer):
    """Signs, and holds the answer back until `release` is set; then `meanwhile` has happened.

    It is put where the lab's own issuer is. `meanwhile` runs within the very call that signs, so
    that nothing but the check after signing can stop the answer.
    """

    def __init__(self, lab: ApiLab) -> None:
        super().__init__(lab.ca)
        self.asked = asyncio.Event()
        self.release = asyncio.Event()
        lab.api._svid._issuer = self
        lab.api._agent._attestation._issuer = self

    async def issue_x509(self, orders: Sequence[X509Order]) -> list[IssuedX509 | IssueError]:
        outcomes = await super().issue_x509(orders)
        await self._wait()
        return outcomes

    async def issue_jwt(self, order: JwtOrder) -> IssuedJwt | IssueError:
        outcome = await super().issue_jwt(order)
        await self._wait()
        return outcome

    async def _wait(self) -> None:
        self.asked.set()
        await self.release.wait()


async def x509_svids(agent: Attested, entry: str) -> Any:
    params = [svid_pb2.NewX509SVIDParams(entry_id=entry, csr=csr())]
    request = svid_pb2.BatchNewX509SVIDRequest(params=params)
    return await SVIDStub(agent.channel).BatchNewX509SVID(request)


async def jwt_svid(agent: Attested, entry: str) -> Any:
    request = svid_pb2.NewJWTSVIDRequest(entry_id=entry, audience=["them"])
    return await SVIDStub(agent.channel).NewJWTSVID(request)


async def own_svid(agent: Attested, _: str) -> Any:
    return await renewed(agent.channel)


async def entry_of(lab: ApiLab, agent: Attested) -> str:
    wanted = Entry(
        spiffe_id=SpiffeId("spiffe://example.org/web"),
        parent_id=agent.id,
        selectors=(Selector("unix", "uid:1"),),
    )
    (made,) = await lab.entries.create_many([wanted])
    assert isinstance(made, Entry)
    await lab.reader.caught_up()
    return made.id


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("ask", [x509_svids, jwt_svid, own_svid])
async def test_what_was_signed_meanwhile_does_not_leave(
    lab: ApiLab, agent: Attested, ask: Callable[[Attested, str], Awaitable[Any]], name: str
) -> None:
    entry = await entry_of(lab, agent)
    held = HeldIssuer(lab)
    asking = asyncio.ensure_future(ask(agent, entry))
    await held.asked.wait()
    await TAKEN[name][0](lab, agent)
    held.release.set()
    with pytest.raises(RpcError) as refused:
        await asking
    assert refused.value.code() is TAKEN[name][1]


async def test_a_ban_during_an_attestation_stops_it(lab: ApiLab, agent: Attested) -> None:
    token = agent.id.path.rpartition("/")[2]
    await lab.tokens.create(JoinToken(token, int(lab.clock.time()) + 600))
    held = HeldIssuer(lab)
    joining = asyncio.ensure_future(attest_with(lab.anonymous, token, csr()))
    await held.asked.wait()
    await ban(lab, agent)
    held.release.set()
    with pytest.raises(RpcError, match="agent is banned"):
        await joining


WEB = "spiffe://example.org/web"
PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()
SPKI = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
WIT_KEY = {"public_key": SPKI, "signing_algorithm": "ES256"}
SIGNING: dict[str, Callable[[str], Any]] = {
    "BatchNewX509SVID": lambda entry: svid_pb2.BatchNewX509SVIDRequest(
        params=[svid_pb2.NewX509SVIDParams(entry_id=entry, csr=csr())]
    ),
    "BatchNewWITSVID": lambda entry: svid_pb2.BatchNewWITSVIDRequest(
        params=[svid_pb2.NewWITSVIDParams(entry_id=entry, **WIT_KEY)]  # type: ignore[arg-type]
    ),
    "NewJWTSVID": lambda entry: svid_pb2.NewJWTSVIDRequest(entry_id=entry, audience=["them"]),
    "MintX509SVID": lambda _: svid_pb2.MintX509SVIDRequest(csr=csr(uris=[WEB])),
    "MintJWTSVID": lambda _: svid_pb2.MintJWTSVIDRequest(
        id=encode_spiffe_id(SpiffeId(WEB)), audience=["them"]
    ),
    "MintWITSVID": lambda _: svid_pb2.MintWITSVIDRequest(
        id=encode_spiffe_id(SpiffeId(WEB)),
        **WIT_KEY,  # type: ignore[arg-type]
    ),
    "NewDownstreamX509CA": lambda _: svid_pb2.NewDownstreamX509CARequest(csr=csr()),
}


class Lost:
    """A gate's second look that finds the right gone."""

    def __init__(self) -> None:
        self.looked = 0

    def __call__(self, context: Any) -> None:
        assert context.identity is not None
        self.looked += 1
        raise StatusError(grpc.StatusCode.PERMISSION_DENIED, "gone")


@pytest.mark.parametrize("method", sorted(SIGNING))
async def test_every_signature_is_followed_by_a_second_look(
    lab: ApiLab, agent: Attested, method: str
) -> None:
    """Also where nothing has announced the loss: a certificate just ends."""
    entry = await entry_of(lab, agent)
    look = Lost()
    issuer = FakeIssuer(lab.ca)
    limits = RateLimits(lab.clock, OFF, look)
    service = SvidService(
        trust_domain=lab.ca.trust_domain,
        issuer=issuer,
        index=lab.reader.entries,
        bundles=lab.reader.bundles,
        limits=limits,
        check_again=look,
        wit_enabled=True,
    )
    record = lab.reader.agents.get(agent.id)
    info = CallInfo("1", method, agent.id)
    proven = verify_chain(agent.svid.chain, lab.reader.bundles, lab.clock.time())
    caller = svid_caller(proven)
    context = FakeCall(method, caller, identity=Identity(info, CallerKind.AGENT, record))
    with pytest.raises(StatusError, match="gone"):
        await getattr(service, method)(SIGNING[method](entry), context)
    assert look.looked == 1
    orders = (issuer.calls, issuer.jwt_orders, issuer.wit_calls, issuer.downstream_orders)
    assert sum(len(each) for each in orders) == 1


def test_no_method_that_signs_is_missing_here() -> None:
    service = svid_pb2.DESCRIPTOR.services_by_name["SVID"]
    assert {method.name for method in service.methods} == set(SIGNING)
