"""One run of `finial up`, from the folder to an identity, and back down."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from finial.api.workload.workload_pb2 import X509SVID
from finial.cli.up.child import Child
from finial.cli.up.joining import Admin, fetch_identity
from finial.cli.up.place import Place, node_id, prepare, user_id
from finial.cli.up.settings import agent_file, server_file
from finial.cli.up.state import State
from finial.runtime.clock import Clock
from finial.runtime.durable import make_folder, write_file
from finial.runtime.rpc import Channel
from finial.spiffe import SpiffeId, TrustDomain

SERVER = "finial.server.cli.main"
AGENT = "finial.agent.cli.main"


@dataclass(frozen=True)
class User:
    """For whom the identity is."""

    name: str
    uid: int


@dataclass(frozen=True)
class Session:
    """A server and an agent that run, and the identity that came out of it."""

    place: Place
    server: Child
    agent: Child
    svid: X509SVID


@asynccontextmanager
async def session(place: Place, state: State, user: User, clock: Clock) -> AsyncIterator[Session]:
    """Start both, join them, fetch the user's SVID; stop both, the agent first, at the end.

    `state` has the port to use. Raises FailureError, DurableError, grpc.RpcError.
    """
    prepare(place)
    trust_domain = TrustDomain(state.trust_domain)
    _write(place, "server", server_file(place, trust_domain, state.port))
    async with _child("server", SERVER, place) as server:
        state = await _join(place, state, user, server, clock)
        async with _child("agent", AGENT, place) as agent:
            channel = Channel(f"unix:{place.agent_socket}", clock=clock)
            try:
                wanted = user_id(trust_domain, user.name)
                svid = await fetch_identity(channel, wanted, agent, clock)
            finally:
                await channel.close()
            place.join_token.unlink(missing_ok=True)
            state.save(place.state)
            yield Session(place, server, agent, svid)


async def _join(place: Place, state: State, user: User, server: Child, clock: Clock) -> State:
    """Give the agent what it needs to start, and the user an entry; the state afterwards."""
    trust_domain = TrustDomain(state.trust_domain)
    alias = node_id(trust_domain)
    channel = Channel(f"unix:{place.server_socket}", clock=clock)
    try:
        admin = Admin(channel, clock)
        await admin.wait_until_healthy(server)
        write_file(place.bundle, await admin.bundle_pem(), 0o644)
        state, joins = await _agent_identity(place, state, admin, alias)
        await admin.ensure_entry(user_id(trust_domain, user.name), alias, user.uid)
    finally:
        await channel.close()
    _write(place, "agent", agent_file(place, trust_domain, state.port, joins=joins))
    return state


async def _agent_identity(
    place: Place, state: State, admin: Admin, alias: SpiffeId
) -> tuple[State, bool]:
    """Let the agent go on with its SVID, or have it join anew; whether it joins."""
    agent = state.agent_id
    if agent is not None and await admin.knows(agent):
        return state, False
    if agent is not None:
        await admin.forget(agent)
    await asyncio.to_thread(shutil.rmtree, place.agent_data, ignore_errors=True)
    make_folder(place.agent_data)
    token = (await admin.join_token(alias)).value
    write_file(place.join_token, token.encode())
    joined = SpiffeId.of(alias.trust_domain, f"/spire/agent/join_token/{token}")
    return replace(state, agent=joined.uri), True


@asynccontextmanager
async def _child(name: str, module: str, place: Place) -> AsyncIterator[Child]:
    arguments = ["run", "-config", str(place.config(name))]
    child = await Child.start(name, module, arguments, place.log(name))
    try:
        yield child
    finally:
        await child.stop()


def _write(place: Place, who: str, text: str) -> None:
    write_file(place.config(who), text.encode())
