"""Delegates on the admin socket: a whole agent on a fake server, and grpcio's client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import StatusError
from finial.spiffe import jwt_svid
from finial.spiffe.x509_svid import X509Svid
from tests.fakes.ca import FakeCa
from tests.fakes.delegate import DELEGATE, ME, OTHER, Delegate, delegate, paths, refused
from tests.fakes.server import FakeServer
from tests.fakes.waiting import eventually
from tests.fakes.workload import MY_UID, RunningAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WEB = "unix:uid:4711"
BOTH = "must provide either selectors or non-zero PID, but not both"
NO_DELEGATE = "caller not configured as an authorized delegate"
Code = grpc.StatusCode


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer(SystemClock())
    await fake.start()
    fake.add_entry("proxy", "/proxy", MY_UID)
    yield fake
    await fake.stop()


@pytest.fixture
async def agent(tmp_path: Path, server: FakeServer) -> AsyncIterator[Path]:
    """A running agent's admin socket."""
    admin = tmp_path / "admin" / "admin.sock"
    settings = {
        "admin_socket_path": f'"{admin}"',
        "authorized_delegates": f'["{DELEGATE}"]',
        "experimental": '{ sync_interval = "30ms" }',
    }
    token = server.add_token()
    async with RunningAgent(tmp_path, server, clock=server.clock, token=token, **settings):
        await eventually(admin.exists)
        yield admin


@pytest.fixture
async def me(agent: Path) -> AsyncIterator[Delegate]:
    async with delegate(agent) as client:
        yield client


def pidfds() -> int:
    """How many processes this one has pinned."""
    return sum("pidfd" in link(fd) for fd in Path("/proc/self/fd").iterdir())


def link(fd: Path) -> str:
    try:
        return os.readlink(fd)  # noqa: PTH115 - it is no path
    except FileNotFoundError:  # of the listing itself
        return ""


async def until(stream: Any, *wanted: str) -> Any:
    """Read the stream until it shows exactly these identities."""
    while paths(message := await stream.read()) != list(wanted):
        pass
    return message


async def test_a_delegate_gets_the_svids_of_the_selectors_with_their_keys(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("b", "/db", WEB, hint="second")
    server.add_entry("a", "/web", WEB, hint="first")
    message = await until(me.svids(OTHER), "/web", "/db")
    for each, hint in zip(message.x509_svids, ("first", "second"), strict=True):
        svid = X509Svid.parse(tuple(each.x509_svid.cert_chain), each.x509_svid_key)
        assert svid.id.path == each.x509_svid.id.path
        assert each.x509_svid.id.trust_domain == "example.org"
        assert each.x509_svid.expires_at == svid.not_after
        assert each.x509_svid.hint == hint


async def test_every_message_of_a_stream_is_the_full_state(
    me: Delegate, server: FakeServer
) -> None:
    stream = me.svids(OTHER)
    assert paths(await stream.read()) == []
    server.add_entry("a", "/web", WEB)
    await until(stream, "/web")
    server.add_entry("b", "/db", WEB)
    await until(stream, "/web", "/db")
    del server.entries["a"]
    await until(stream, "/db")
    del server.entries["b"]
    await until(stream)


async def test_entries_that_share_a_hint_are_all_delegated(
    me: Delegate, server: FakeServer
) -> None:
    # That hints are unique is a rule of the Workload API.
    server.add_entry("a", "/web", WEB, hint="same")
    server.add_entry("b", "/db", WEB, hint="same")
    await until(me.svids(OTHER), "/web", "/db")


async def test_federated_trust_domains_are_named_by_their_ids(
    me: Delegate, server: FakeServer
) -> None:
    other = FakeCa("other.org")
    federated = server.bundle()
    federated.trust_domain = "other.org"
    federated.x509_authorities[0].asn1 = other.der
    server.federated["other.org"] = federated
    server.add_entry("a", "/web", WEB, federates_with=["other.org", "unknown.org"])
    message = await until(me.svids(OTHER), "/web")
    assert list(message.federates_with) == ["spiffe://other.org"]
    bundles = await me.x509_bundles().read()
    assert dict(bundles.ca_certificates) == {
        "spiffe://example.org": server.ca.der,
        "spiffe://other.org": other.der,
    }
    keys = await me.jwt_bundles().read()
    assert set(keys.bundles) == {"spiffe://example.org", "spiffe://other.org"}
    [key] = json.loads(keys.bundles["spiffe://example.org"])["keys"]
    assert key["kid"] == server.ca.key_id


async def test_bundles_are_pushed_when_they_change(me: Delegate, server: FakeServer) -> None:
    stream = me.x509_bundles()
    assert (await stream.read()).ca_certificates["spiffe://example.org"] == server.ca.der
    other = FakeCa(now=server.clock.time())
    server.roots.append(type(server.roots[0])(asn1=other.der))
    changed = await stream.read()
    assert changed.ca_certificates["spiffe://example.org"] == server.ca.der + other.der


async def test_tokens_are_fetched_for_each_identity_and_cached(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("a", "/web", WEB, hint="first")
    server.add_entry("b", "/db", WEB)
    await until(me.svids(OTHER), "/web", "/db")
    answer = await me.tokens(OTHER, audience=("x", "y"))
    assert paths(answer) == ["/web", "/db"]
    first = answer.svids[0]
    parsed = jwt_svid.parse_unverified(first.token)
    assert (parsed.id.path, set(parsed.audience)) == ("/web", {"x", "y"})
    assert (first.expires_at, first.hint) == (parsed.expires_at, "first")
    assert 0 <= first.expires_at - server.jwt_ttl - first.issued_at <= 1
    assert await me.tokens(OTHER, audience=("y", "x")) == answer
    assert server.calls["NewJWTSVID"] == 2


async def test_a_process_is_attested_and_not_taken_at_the_delegates_word(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("a", "/web", MY_UID)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=PIPE)
    try:
        await until(me.svids(pid=child.pid), "/web", "/proxy")
        assert paths(await me.tokens(pid=child.pid)) == ["/web", "/proxy"]
    finally:
        await child.communicate(b"\n")


@pytest.mark.parametrize("pid", [-1, 2**31 - 1])
async def test_a_process_that_does_not_exist_is_unavailable(me: Delegate, pid: int) -> None:
    failed = (Code.UNAVAILABLE, "workload attestation failed")
    assert await refused(me.svids(pid=pid)) == failed
    assert await refused(me.tokens(pid=pid)) == failed


async def test_a_stream_about_a_process_ends_with_the_next_change_after_it(
    me: Delegate, server: FakeServer
) -> None:
    await me.x509_bundles().read()  # connected, which takes one as well
    before = pidfds()
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=PIPE)
    stream = me.svids(pid=child.pid)
    await until(stream, "/proxy")
    assert pidfds() == before + 1
    await child.communicate(b"\n")
    server.add_entry("a", "/web", MY_UID)
    assert await refused(stream) == (Code.UNAVAILABLE, "workload attestation failed")
    await eventually(lambda: pidfds() == before)


async def test_exactly_one_of_selectors_and_pid_must_be_given(me: Delegate) -> None:
    wanted = (Code.INVALID_ARGUMENT, BOTH)
    assert await refused(me.svids()) == wanted
    assert await refused(me.svids(OTHER, pid=os.getpid())) == wanted
    assert await refused(me.tokens()) == wanted
    assert await refused(me.tokens(OTHER, pid=os.getpid())) == wanted


@pytest.mark.parametrize("selector", [("", "uid:1"), ("un:ix", "uid:1"), ("unix", "")])
async def test_a_malformed_selector_is_refused(me: Delegate, selector: tuple[str, str]) -> None:
    wanted = (Code.INVALID_ARGUMENT, "could not parse provided selectors")
    assert await refused(me.svids(OTHER, selector)) == wanted
    assert await refused(me.tokens(OTHER, selector)) == wanted


async def test_tokens_need_an_audience_before_all_else(me: Delegate, server: FakeServer) -> None:
    wanted = (Code.INVALID_ARGUMENT, "audience must be specified")
    assert await refused(me.tokens(OTHER, audience=())) == wanted
    assert await refused(me.tokens(OTHER, audience=("",))) == wanted
    server.entries.clear()
    assert await refused(me.tokens(OTHER, audience=())) == wanted


async def test_a_workload_without_identity_has_no_token_and_an_empty_stream(me: Delegate) -> None:
    assert paths(await me.svids(OTHER).read()) == []
    assert await refused(me.tokens(OTHER)) == (Code.PERMISSION_DENIED, "no identity issued")


async def test_a_server_that_issues_no_token_makes_the_call_unavailable(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("a", "/web", WEB)
    await until(me.svids(OTHER), "/web")
    server.lies.failures["NewJWTSVID"] = StatusError(Code.INTERNAL, "no key")
    code, text = await refused(me.tokens(OTHER))
    assert code is Code.UNAVAILABLE
    assert text.startswith("could not fetch JWT-SVID: ")


async def test_a_caller_without_identity_is_refused_everywhere(
    me: Delegate, server: FakeServer
) -> None:
    stream = me.svids(OTHER)
    await stream.read()
    server.entries.clear()
    wanted = (Code.PERMISSION_DENIED, "no identity issued")
    assert await refused(stream) == wanted  # by now the agent knows
    assert await refused(me.svids(ME)) == wanted
    assert await refused(me.x509_bundles()) == wanted
    assert await refused(me.jwt_bundles()) == wanted
    assert await refused(me.tokens(ME)) == wanted


async def test_a_caller_that_is_no_delegate_is_refused_everywhere(
    me: Delegate, server: FakeServer
) -> None:
    stream = me.jwt_bundles()
    await stream.read()
    server.add_entry("proxy", "/other", MY_UID)
    wanted = (Code.PERMISSION_DENIED, NO_DELEGATE)
    assert await refused(stream) == wanted
    assert await refused(me.svids()) == wanted  # before its arguments are looked at
    assert await refused(me.svids(ME)) == wanted
    assert await refused(me.x509_bundles()) == wanted
    assert await refused(me.jwt_bundles()) == wanted
    assert await refused(me.tokens(ME)) == wanted


@pytest.mark.parametrize("kind", ["svids", "x509_bundles", "jwt_bundles"])
async def test_a_lost_right_ends_the_streams_that_are_open(
    me: Delegate, server: FakeServer, kind: str
) -> None:
    server.add_entry("a", "/web", WEB)
    server.add_entry("mine", "/mine", MY_UID)
    stream = me.svids(OTHER) if kind == "svids" else getattr(me, kind)()
    await stream.read()
    del server.entries["proxy"]
    assert await refused(stream) == (Code.PERMISSION_DENIED, NO_DELEGATE)


async def test_a_right_lost_while_a_token_is_fetched_counts(
    me: Delegate, server: FakeServer
) -> None:
    server.add_entry("a", "/web", WEB)
    stream = me.svids(OTHER)
    await until(stream, "/web")
    answered = server.lies.delays["NewJWTSVID"] = asyncio.Event()
    call = asyncio.ensure_future(refused(me.tokens(OTHER)))
    await eventually(lambda: server.calls["NewJWTSVID"])
    server.add_entry("proxy", "/other", MY_UID)
    await refused(stream)
    answered.set()
    assert await call == (Code.PERMISSION_DENIED, NO_DELEGATE)


async def test_the_svid_of_a_delegated_identity_is_renewed_beyond_the_caches_limit(
    tmp_path: Path, server: FakeServer
) -> None:
    settings = {
        "admin_socket_path": f'"{tmp_path}/admin/admin.sock"',
        "authorized_delegates": f'["{DELEGATE}"]',
        "x509_svid_cache_max_size": "1",
        "experimental": '{ sync_interval = "30ms" }',
    }
    server.svid_ttl = 3
    for number in range(3):
        server.add_entry(f"e{number}", f"/{number}", WEB)
    token = server.add_token()
    running = RunningAgent(tmp_path, server, clock=server.clock, token=token, **settings)
    admin = tmp_path / "admin" / "admin.sock"
    async with running:
        await eventually(admin.exists)
        async with delegate(admin) as client:
            stream = client.svids(OTHER)
            first = await until(stream, "/0", "/1", "/2")
            renewed = await until(stream, "/0", "/1", "/2")
    assert renewed != first
