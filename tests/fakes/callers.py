"""Callers of every kind, on a server's API over its real sockets."""

from collections.abc import Mapping
from dataclasses import dataclass

from finial.api.spire.server import agent_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.attestors.selector import Selector
from finial.runtime.rpc import Channel, TlsCaller, UnixCaller
from finial.server.api.authorization import CallerKind
from finial.server.api.convert import encode_spiffe_id
from finial.server.registry.model import Entry
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import X509Svid, verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.call import LOCAL
from tests.fakes.server_api import ADMIN_ID, ApiLab

Reason = PermissionDeniedDetails


@dataclass(frozen=True)
class SomeCaller:
    """Who calls.

    Attributes:
        channel: where it calls, over real sockets.
        seen: what the transport tells the gate of it.
        kinds: what it is; what is open to anybody is open to it as well.
        reason: why it may not make an agent's calls: SPIRE's number, None without one.
    """

    channel: Channel
    seen: UnixCaller | TlsCaller
    kinds: frozenset[CallerKind] = frozenset()
    reason: int | None = Reason.AGENT_NOT_ATTESTED


async def every_caller(lab: ApiLab) -> Mapping[str, SomeCaller]:
    """One caller of each kind, by name, of whom those that are `expired` can no more connect."""
    other = FakeCa("other.org")
    await lab.bundles.put(other.bundle())
    await _entry(lab, "/admin", admin=True)
    await _entry(lab, "/downstream", downstream=True)
    await _entry(lab, "/powerless")
    agent, banned, evicted = [await lab.attest() for _ in range(3)]
    stub = AgentStub(lab.local)
    await stub.BanAgent(agent_pb2.BanAgentRequest(id=encode_spiffe_id(banned.id)))
    await stub.DeleteAgent(agent_pb2.DeleteAgentRequest(id=encode_spiffe_id(evicted.id)))
    await lab.reader.caught_up()

    def svid(path: str) -> X509Svid:
        return lab.ca.issue(f"spiffe://{lab.ca.trust_domain}{path}")

    def expired(path: str) -> X509Svid:
        return lab.ca.issue(f"spiffe://{lab.ca.trust_domain}{path}", ttl=-1)

    def known(
        held: X509Svid,
        *kinds: CallerKind,
        reason: int | None = Reason.AGENT_NOT_ATTESTED,
        channel: Channel | None = None,
        ca: FakeCa | None = None,
    ) -> SomeCaller:
        now = min(lab.clock.time(), held.not_after - 1)
        proved = verify_chain(held.chain, (ca or lab.ca).bundles(), now)
        seen = TlsCaller("ipv4:127.0.0.1:1", proved)
        return SomeCaller(channel or lab.connect(held), seen, frozenset(kinds), reason)

    return {
        "local": SomeCaller(lab.local, LOCAL, frozenset({CallerKind.LOCAL}), None),
        "nobody": SomeCaller(lab.anonymous, TlsCaller("ipv4:127.0.0.1:1", None), frozenset(), None),
        "configured admin": known(lab.ca.issue(ADMIN_ID), CallerKind.ADMIN),
        "admin": known(svid("/admin"), CallerKind.ADMIN),
        "downstream": known(svid("/downstream"), CallerKind.DOWNSTREAM),
        "workload": known(svid("/powerless")),
        "agent": known(agent.svid, CallerKind.AGENT, reason=None, channel=agent.channel),
        "banned": known(banned.svid, reason=Reason.AGENT_BANNED, channel=banned.channel),
        "evicted": known(evicted.svid, channel=evicted.channel),
        "expired": known(lab.ca.issue(agent.id, ttl=-1), reason=Reason.AGENT_EXPIRED),
        "expired admin": known(expired("/admin"), reason=Reason.AGENT_EXPIRED),
        "expired downstream": known(expired("/downstream"), reason=Reason.AGENT_EXPIRED),
        "other domain": known(other.issue("spiffe://other.org/admin"), ca=other),
        "other domain's agent": known(other.issue(f"spiffe://other.org{agent.id.path}"), ca=other),
    }


async def _entry(lab: ApiLab, path: str, *, admin: bool = False, downstream: bool = False) -> None:
    domain = lab.ca.trust_domain
    await lab.entries.create_many(
        [
            Entry(
                spiffe_id=SpiffeId.of(domain, path),
                parent_id=SpiffeId.of(domain, "/spire/agent/x"),
                selectors=(Selector("unix", "uid:1"),),
                admin=admin,
                downstream=downstream,
            )
        ]
    )
