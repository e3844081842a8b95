"""The agent against a server that is not its server, or that answers what was not asked."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from finial.agent.storage import AgentData
from finial.agent.sync.connector import TlsConnector
from finial.agent.sync.trust import Trust
from finial.api.spire import types_pb2 as types
from finial.api.workload import workload_pb2 as pb
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import RpcError, StatusError, TlsIdentity
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.daemon import comes_true
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually
from tests.fakes.workload import HEADER, MY_UID, RunningAgent
from tests.threats.test_sessions import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from finial.spiffe.x509_svid import X509Svid
    from tests.threats.conftest import Told

SERVER = "spiffe://example.org/spire/server"
GOOD, BAD = "spiffe://example.org/good", "spiffe://example.org/bad"
FAST = '{ sync_interval = "30ms" }'

# -- servers that are not ours ---------------------------------------------------------------


@dataclass
class Impostor:
    """A TLS server with a certificate of some kind; keeps what a client says to it."""

    port: int
    heard: bytearray = field(default_factory=bytearray)
    over: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def impostor(svid: X509Svid) -> AsyncIterator[Impostor]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    load(context, svid)
    made = Impostor(0)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                made.heard.extend(data)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()
            made.over.set()

    listener = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()


def another_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


IMPOSTORS: dict[str, tuple[Callable[[FakeCa], X509Svid], str]] = {
    "a workload": (lambda ca: ca.issue("spiffe://example.org/web"), "the server is"),
    "an agent": (lambda ca: ca.issue("spiffe://example.org/spire/agent/x"), "the server is"),
    "another domain's server": (
        lambda _: FakeCa("other.org").issue("spiffe://other.org/spire/server"),
        "verify failed",
    ),
    "another authority's": (lambda _: FakeCa("example.org").issue(SERVER), "verify failed"),
    "a forged signature": (
        lambda ca: ca.issue(SERVER, signing_key=another_key()),
        "verify failed",
    ),
    "an expired one": (
        lambda ca: ca.issue(SERVER, not_before=ca.now - 9, not_after=ca.now - 1),
        "expired",
    ),
    "one from tomorrow": (
        lambda ca: ca.issue(SERVER, not_before=ca.now + 99, not_after=ca.now + 999),
        "not yet valid",
    ),
    "a web server": (
        lambda ca: ca.issue(SERVER, uris=[], dns_names=["spire-server"]),
        "no URI SAN",
    ),
    "a CA": (lambda ca: ca.issue(SERVER, ca=True), "is a CA"),
}


def connector(folder: Path, ca: FakeCa, port: int) -> TlsConnector:
    """The agent's own, which holds an SVID that it would present."""
    mine = ca.issue("spiffe://example.org/spire/agent/one")
    identity = TlsIdentity(mine.chain, mine.key_pkcs8)
    trust = Trust(ca.trust_domain, ca.bundle(), AgentData(folder))
    return TlsConnector(
        f"127.0.0.1:{port}",
        trust=trust,
        identity=lambda: identity,
        clock=FakeClock(),
        interval=5.0,
    )


@pytest.mark.parametrize("name", IMPOSTORS)
async def test_not_a_byte_of_http2_goes_to_a_server_that_is_not_ours(
    tmp_path: Path, name: str
) -> None:
    ca = FakeCa()
    make, why = IMPOSTORS[name]
    async with impostor(make(ca)) as other:
        connect = connector(tmp_path, ca, other.port)
        for channel in (connect.anonymous(), connect.identified()):
            async with channel:
                with pytest.raises(RpcError, match=why) as refused:
                    await channel.unary_unary("/x.Y/Z")(b"token-1", timeout=10)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert other.heard == b""


async def test_our_own_server_would_have_been_spoken_to(tmp_path: Path) -> None:
    ca = FakeCa()
    async with impostor(ca.issue(SERVER)) as ours:
        async with connector(tmp_path, ca, ours.port).anonymous() as channel:
            call = channel.unary_unary("/x.Y/Z")(b"token-1")
            await eventually(lambda: b"token-1" in ours.heard)
            call.cancel()
        await ours.over.wait()


async def test_a_bootstrap_bundle_that_is_not_the_servers_lets_no_token_out(
    tmp_path: Path, told: Told
) -> None:
    async with serving(LyingServer(SystemClock())) as server:
        path = tmp_path / "other.pem"
        path.write_bytes(FakeCa("example.org", now=server.clock.time()).bundle().to_pem())
        running = agent(tmp_path, server, trust_bundle_path=f'"{path}"')
        async with running:
            with pytest.raises(RpcError) as refused:
                await running.fetch()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "verify failed" in told("attestation failed, trying again")[0]["error"]
        assert server.tokens == {"token-1"}
        assert not server.calls


# -- our server, lying -----------------------------------------------------------------------


class LyingServer(FakeServer):
    """Answers with what `forge` makes for the ID `BAD`, or for the agent's own with `forge_own`."""

    forge: Any = None
    forge_own: Any = None
    bundle_instead: types.Bundle | None = None

    def sign(self, spiffe_id: str, csr: bytes, ttl: float) -> types.X509SVID:
        honest = super().sign(spiffe_id, csr, ttl)
        forge = self.forge if spiffe_id == BAD else None
        if "/spire/agent/" in spiffe_id:
            forge = self.forge_own
        if forge is not None:
            key = x509.load_der_x509_csr(csr).public_key()
            del honest.cert_chain[:]
            honest.cert_chain.extend(forge(self, key))
        return honest

    def bundle(self) -> types.Bundle:
        return super().bundle() if self.bundle_instead is None else self.bundle_instead


@asynccontextmanager
async def serving(server: LyingServer) -> AsyncIterator[LyingServer]:
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def server() -> AsyncIterator[LyingServer]:
    async with serving(LyingServer(SystemClock())) as lying:
        yield lying


def agent(folder: Path, server: FakeServer, **settings: Any) -> RunningAgent:
    token = server.add_token()
    settings.setdefault("experimental", FAST)
    return RunningAgent(folder, server, clock=server.clock, token=token, **settings)


def issued(spiffe_id: str = BAD, **defects: Any) -> Any:
    """A leaf of the server's authority for the key that was sent, but for its defects."""
    return lambda server, key: server.ca.issue(spiffe_id, csr_public_key=key, **defects).chain


def in_time(**moments: float) -> Any:
    def forge(server: FakeServer, key: Any) -> tuple[bytes, ...]:
        now = server.clock.time()
        times = {name: now + at for name, at in moments.items()}
        return server.ca.issue(BAD, csr_public_key=key, **times).chain  # type: ignore[arg-type]

    return forge


def of_another_key(server: FakeServer, _: Any) -> tuple[bytes, ...]:
    return server.ca.issue(BAD).chain


def by_another_authority(server: FakeServer, key: Any) -> tuple[bytes, ...]:
    other = FakeCa("example.org", now=server.clock.time())
    return other.issue(BAD, csr_public_key=key).chain


def that_outlives_its_intermediate(server: FakeServer, key: Any) -> tuple[bytes, ...]:
    return server.ca.intermediate(ttl=600).issue(BAD, csr_public_key=key, ttl=3600).chain


def with_rubbish_below(server: FakeServer, key: Any) -> tuple[bytes, ...]:
    return (*server.ca.issue(BAD, csr_public_key=key).chain, b"rubbish")


POISON: dict[str, tuple[Any, str]] = {
    "another ID": (issued("spiffe://example.org/admin"), "instead of"),
    "another domain's ID": (issued("spiffe://other.org/bad"), "instead of"),
    "two IDs": (issued(uris=[BAD, "spiffe://example.org/admin"]), "more than one URI SAN"),
    "no ID": (issued(uris=[], dns_names=["bad"]), "no URI SAN"),
    "another key": (of_another_key, "does not match"),
    "a CA": (issued(ca=True), "is a CA"),
    "may sign": (
        issued(key_usage=frozenset({"digital_signature", "key_cert_sign"})),
        "may sign certificates",
    ),
    "another authority": (by_another_authority, "authority|signature"),
    "a broken signature": (issued(broken_signature=True), "authority|signature"),
    "expired": (in_time(not_before=-90, not_after=-1), "expired"),
    "not yet valid": (in_time(not_before=90), "not yet valid"),
    "longer than its authority": (issued(ttl=20 * 365 * 86400), "outlives the authority"),
    "longer than its intermediate": (that_outlives_its_intermediate, "outlives the authority"),
    "nothing": (lambda _server, _key: (), "at least one certificate"),
    "rubbish": (lambda _server, _key: (b"rubbish",), "not a DER certificate"),
    "rubbish below": (with_rubbish_below, "not a DER certificate"),
}


@pytest.mark.parametrize("name", POISON)
async def test_a_poisoned_svid_is_not_served_and_does_not_stop_the_others(
    tmp_path: Path, server: LyingServer, told: Told, name: str
) -> None:
    server.forge, why = POISON[name]
    add_three(server)
    async with agent(tmp_path, server) as running:
        assert ids(await running.fetch()) == [GOOD + "1", GOOD + "2"]
        (line, *_) = told("X.509-SVID was not issued")
        assert line["entry_id"] == "b"
        assert line["level"] == "ERROR"
        assert re.search(why, line["error"]), line
        server.forge = None
        await eventually_served(running, [BAD, GOOD + "1", GOOD + "2"])


async def test_an_svid_from_a_server_whose_clock_is_a_little_ahead_is_served(
    tmp_path: Path, server: LyingServer
) -> None:
    server.forge = in_time(not_before=30)
    add_three(server)
    async with agent(tmp_path, server) as running:
        assert ids(await running.fetch()) == [BAD, GOOD + "1", GOOD + "2"]


async def test_an_order_that_fails_its_whole_batch_does_not_stop_the_others(
    tmp_path: Path, server: LyingServer
) -> None:
    def fail(_server: FakeServer, _key: Any) -> tuple[bytes, ...]:
        raise StatusError(grpc.StatusCode.INTERNAL, "no")

    server.forge = fail
    add_three(server)
    async with agent(tmp_path, server) as running:
        assert ids(await running.fetch()) == [GOOD + "1", GOOD + "2"]


async def test_an_svid_that_is_due_at_once_is_not_ordered_without_a_pause(
    tmp_path: Path, server: LyingServer
) -> None:
    """From an authority that the server itself calls tainted."""
    server.roots[0].tainted = True
    add_three(server)
    async with agent(tmp_path, server) as running:
        assert len((await running.fetch()).svids) == 3
        before = server.calls["SyncAuthorizedEntries"]
        await eventually(lambda: server.calls["SyncAuthorizedEntries"] > before + 5)
        assert server.calls["BatchNewX509SVID"] < 5


def add_three(server: FakeServer) -> None:
    server.add_entry("b", "/bad", MY_UID)
    server.add_entry("g1", "/good1", MY_UID)
    server.add_entry("g2", "/good2", MY_UID)


def ids(response: pb.X509SVIDResponse) -> list[str]:
    return sorted(svid.spiffe_id for svid in response.svids)


async def eventually_served(running: RunningAgent, wanted: list[str]) -> None:
    async def served() -> list[str]:
        return ids(await running.fetch())

    await comes_true(served, lambda found: found == wanted)


async def test_a_token_for_another_audience_is_never_handed_on(tmp_path: Path, told: Told) -> None:
    class Ca(FakeCa):
        def jwt(self, sub: Any, aud: Any, /, **more: Any) -> str:
            assert aud == ["mine"]
            return super().jwt(sub, ["another"], **more)

    clock = SystemClock()
    async with serving(LyingServer(clock, Ca(now=clock.time(), ttl=86400))) as server:
        server.add_entry("g", "/good1", MY_UID)
        async with agent(tmp_path, server) as running:
            await running.fetch()
            stub = await running.stub()
            with pytest.raises(RpcError, match="for another audience"):
                await stub.FetchJWTSVID(pb.JWTSVIDRequest(audience=["mine"]), metadata=HEADER)
            assert told("JWT-SVID was not issued")


# -- what it says of itself and of the agent -------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (types.Bundle(trust_domain="example.org"), "without X.509 authorities"),
        (
            types.Bundle(
                trust_domain="example.org",
                x509_authorities=[types.X509Certificate(asn1=b"rubbish")],
            ),
            "without X.509 authorities",
        ),
        (
            types.Bundle(
                trust_domain="other.org",
                x509_authorities=[types.X509Certificate(asn1=FakeCa("other.org").der)],
            ),
            "bundle of trust domain other.org",
        ),
    ],
    ids=["empty", "rubbish", "another domain's"],
)
async def test_a_bundle_that_would_cut_the_agent_off_is_not_taken(
    tmp_path: Path, server: LyingServer, told: Told, lie: types.Bundle, why: str
) -> None:
    server.add_entry("g", "/good1", MY_UID)
    async with agent(tmp_path, server) as running:
        before = await running.fetch()
        server.bundle_instead = lie
        await eventually(lambda: told("sync with the server failed"))
        assert why in told("sync with the server failed")[0]["error"]
        assert (await running.fetch()).svids[0].bundle == before.svids[0].bundle
        stored = json.loads((tmp_path / "data" / "agent-data.json").read_text())
        assert len(stored["bundle"]) == 1
        server.bundle_instead = None
        server.add_entry("b", "/bad", MY_UID)
        await eventually_served(running, [BAD, GOOD + "1"])


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (issued("spiffe://example.org/spire/agent/join_token/other"), "renewed the SVID of"),
        (issued("spiffe://example.org/admin"), "to an agent of"),
        (of_another_key, "does not match"),
        (
            issued("spiffe://example.org/spire/agent/join_token/token-1", ttl=-1),
            "has expired already",
        ),
    ],
    ids=["another agent's", "a workload's", "another key's", "expired"],
)
async def test_a_renewal_that_is_not_the_agents_own_is_not_taken(
    tmp_path: Path, server: LyingServer, told: Told, forge: Any, why: str
) -> None:
    server.agent_ttl = 2
    running = agent(tmp_path, server)
    server.add_entry("g", "/good1", MY_UID)
    async with running:
        await running.fetch()
        stored = (tmp_path / "data" / "agent-data.json").read_text()
        server.forge_own = forge
        await eventually(lambda: told("agent SVID was not renewed"))
        assert why in told("agent SVID was not renewed")[0]["error"]
        assert (tmp_path / "data" / "agent-data.json").read_text() == stored
        server.forge_own = None
