"""The calls by which `finial up` joins what it started: all through the two sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from finial.api.grpc.health_pb2 import HealthCheckRequest, HealthCheckResponse
from finial.api.grpc.health_pb2_grpc import HealthStub
from finial.api.spire.server.agent_pb2 import (
    CreateJoinTokenRequest,
    DeleteAgentRequest,
    GetAgentRequest,
)
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.bundle_pb2 import GetBundleRequest
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.entry_pb2 import BatchCreateEntryRequest
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.types_pb2 import SPIFFEID, Entry, JoinToken, Selector
from finial.api.workload.workload_pb2 import X509SVID, X509SVIDRequest
from finial.api.workload.workload_pb2_grpc import SpiffeWorkloadAPIStub
from finial.cli.up.child import Child
from finial.runtime.cli.client import failure_text
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.pem import certificate_pem
from finial.runtime.clock import Clock
from finial.runtime.rpc import Channel
from finial.spiffe import SpiffeId

CALL_TIMEOUT = 10.0
READY_TIMEOUT = 60.0
PAUSE = 0.05
TOKEN_TTL = 600
MARGIN = 60.0
"""Seconds that an agent's SVID must have left to be worth starting with."""
HEADER = (("workload.spiffe.io", "true"),)
T = TypeVar("T")
ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS.value[0]


@dataclass(frozen=True)
class Admin:
    """The server's admin API."""

    channel: Channel
    clock: Clock

    async def wait_until_healthy(self, server: Child) -> None:
        """Return when the server serves; raises FailureError when it ends or takes too long."""
        await until_done(self._is_healthy, server, self.clock)

    async def _is_healthy(self) -> bool | None:
        answer = await HealthStub(self.channel).Check(HealthCheckRequest(), timeout=CALL_TIMEOUT)
        return True if answer.status == HealthCheckResponse.SERVING else None

    async def bundle_pem(self) -> bytes:
        """The X.509 authorities that the agent begins with."""
        bundle = await BundleStub(self.channel).GetBundle(GetBundleRequest(), timeout=CALL_TIMEOUT)
        return "".join(certificate_pem(each.asn1) for each in bundle.x509_authorities).encode()

    async def knows(self, agent: SpiffeId) -> bool:
        """Whether the agent may go on with the SVID that it has."""
        request = GetAgentRequest(id=message(agent))
        try:
            found = await AgentStub(self.channel).GetAgent(request, timeout=CALL_TIMEOUT)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return not found.banned and found.x509svid_expires_at > self.clock.time() + MARGIN

    async def forget(self, agent: SpiffeId) -> None:
        """Drop the record of an agent that will not come back, and its alias with it."""
        request = DeleteAgentRequest(id=message(agent))
        try:
            await AgentStub(self.channel).DeleteAgent(request, timeout=CALL_TIMEOUT)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise

    async def join_token(self, alias: SpiffeId) -> JoinToken:
        """A token for one agent, which is known under the alias as well."""
        request = CreateJoinTokenRequest(ttl=TOKEN_TTL, agent_id=message(alias))
        return await AgentStub(self.channel).CreateJoinToken(request, timeout=CALL_TIMEOUT)

    async def ensure_entry(self, wanted: SpiffeId, parent: SpiffeId, uid: int) -> None:
        """Make the entry for a user's processes unless it is there; raises FailureError."""
        entry = Entry(
            spiffe_id=message(wanted),
            parent_id=message(parent),
            selectors=[Selector(type="unix", value=f"uid:{uid}")],
        )
        request = BatchCreateEntryRequest(entries=[entry])
        stub = EntryStub(self.channel)
        [result] = (await stub.BatchCreateEntry(request, timeout=CALL_TIMEOUT)).results
        if result.status.code not in {0, ALREADY_EXISTS}:
            raise FailureError(f"cannot make an entry for {wanted}: {result.status.message}")


async def fetch_identity(
    channel: Channel, wanted: SpiffeId, agent: Child, clock: Clock
) -> X509SVID:
    """The SVID of that ID, as soon as the agent has it for us; raises FailureError."""

    async def fetch() -> X509SVID | None:
        stub = SpiffeWorkloadAPIStub(channel)
        stream = stub.FetchX509SVID(X509SVIDRequest(), metadata=HEADER, timeout=CALL_TIMEOUT)
        async for response in stream:
            return next((svid for svid in response.svids if svid.spiffe_id == wanted.uri), None)
        return None

    return await until_done(fetch, agent, clock)


async def until_done(attempt: Callable[[], Awaitable[T | None]], child: Child, clock: Clock) -> T:
    """Repeat the attempt until it gives something; raises FailureError when the child ends first.

    A refused call is tried again: who has only just started refuses everything.
    """
    last = "no answer"
    deadline = clock.monotonic() + READY_TIMEOUT
    while clock.monotonic() < deadline:
        if child.ended:
            raise child.failure()
        try:
            result = await attempt()
        except grpc.RpcError as error:
            last = failure_text(error)
        else:
            if result is not None:
                return result
        await asyncio.sleep(PAUSE)
    raise FailureError(f"the {child.name} was not ready after {READY_TIMEOUT:.0f} s: {last}")


def message(spiffe_id: SpiffeId) -> SPIFFEID:
    """The API's form of a SPIFFE ID."""
    return SPIFFEID(trust_domain=spiffe_id.trust_domain.name, path=spiffe_id.path)
