"""The same calls on the admin sockets of an unmodified spire-agent and of ours: alike answered."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import debug_pb2, debug_pb2_grpc, logger_pb2, logger_pb2_grpc
from finial.spiffe import jwt_svid
from finial.spiffe.x509_svid import X509Svid, split_certificates
from tests.fakes.delegate import Delegate, delegate, paths, refused
from tests.interop.programs import FINIAL, Family
from tests.interop.site import DOMAIN, Site, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="root, whose user ID the entries select"),
]
PROXY = f"spiffe://{DOMAIN}/proxy"
WEB = ("unix", "uid:4711")
SETTINGS = """
  admin_socket_path = "{socket}"
  authorized_delegates = ["{proxy}"]
"""


@contextlib.asynccontextmanager
async def delegation(
    folder: Path, peers: Family, agent: Family
) -> AsyncIterator[tuple[Site, Delegate]]:
    """A site of SPIRE's server and one agent, and a client on that agent's admin socket."""
    socket = folder / f"{agent.name}-admin" / "admin.sock"
    more = SETTINGS.format(socket=socket, proxy=PROXY)
    site = Site(folder / agent.name, server=peers, agent=agent, agent_more=more)
    async with site, delegate(socket) as client:
        yield site, client


@pytest.fixture(params=["spire", "finial"])
async def both(
    request: pytest.FixtureRequest, peers: Family, folder: Path
) -> AsyncIterator[tuple[Site, Delegate]]:
    """One after the other: whatever is asserted, it is asserted of both."""
    agent = peers if request.param == "spire" else FINIAL
    async with delegation(folder, peers, agent) as found:
        yield found


async def as_delegate(site: Site) -> None:
    await site.add("/proxy")
    await site.until_served("/proxy")


async def shown(stream: Any, *wanted: str) -> Any:
    """Read the stream until it shows exactly these identities."""
    while sorted(paths(message := await stream.read())) != sorted(wanted):
        pass
    return message


async def test_who_may_not_is_told_so_in_the_same_words(both: tuple[Site, Delegate]) -> None:
    site, me = both
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert await refused(me.svids(WEB)) == (denied, "no identity issued")
    assert await refused(me.x509_bundles()) == (denied, "no identity issued")
    await site.add("/somebody")
    await site.until_served("/somebody")
    wanted = (denied, "caller not configured as an authorized delegate")
    assert await refused(me.svids(WEB)) == wanted
    assert await refused(me.svids()) == wanted
    assert await refused(me.jwt_bundles()) == wanted
    assert await refused(me.tokens(WEB)) == wanted


async def test_arguments_are_refused_in_the_same_words(both: tuple[Site, Delegate]) -> None:
    site, me = both
    await as_delegate(site)
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    wanted = (invalid, "must provide either selectors or non-zero PID, but not both")
    for call in (me.svids(), me.svids(WEB, pid=1), me.tokens(), me.tokens(WEB, pid=1)):
        assert await refused(call) == wanted
    wanted = (invalid, "could not parse provided selectors")
    for bad in (("", "x"), ("un:ix", "x"), ("unix", "")):
        assert await refused(me.svids(bad)) == wanted
        assert await refused(me.tokens(WEB, bad)) == wanted
    assert await refused(me.tokens(WEB, audience=())) == (invalid, "audience must be specified")
    gone = (grpc.StatusCode.UNAVAILABLE, "workload attestation failed")
    assert await refused(me.svids(pid=2**30)) == gone
    assert await refused(me.tokens(pid=2**30)) == gone


async def test_identities_come_without_administrative_and_downstream_ones(
    both: tuple[Site, Delegate],
) -> None:
    site, me = both
    await as_delegate(site)
    assert paths(await me.svids(WEB).read()) == []
    denied = (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
    assert await refused(me.tokens(WEB)) == denied
    selector = ":".join(WEB)
    await site.add("/admin", "-admin", selector=selector)
    await site.add("/down", "-downstream", selector=selector)
    stream = me.svids(WEB)
    await site.add("/web", "-hint", "h", selector=selector)
    [pair] = (await shown(stream, "/web")).x509_svids
    svid = X509Svid.parse(tuple(pair.x509_svid.cert_chain), pair.x509_svid_key)
    assert (svid.id.path, pair.x509_svid.hint) == ("/web", "h")
    assert pair.x509_svid.expires_at == svid.not_after
    [token] = (await me.tokens(WEB)).svids
    parsed = jwt_svid.parse_unverified(token.token)
    assert (parsed.id.path, token.id.path, token.hint) == ("/web", "/web", "h")
    assert (token.expires_at, token.issued_at) == (parsed.expires_at, parsed.issued_at)


async def test_a_process_is_attested(both: tuple[Site, Delegate]) -> None:
    site, me = both
    await as_delegate(site)
    await site.add("/mine")
    await shown(me.svids(pid=os.getpid()), "/mine", "/proxy")
    assert sorted(paths(await me.tokens(pid=os.getpid()))) == ["/mine", "/proxy"]


async def test_bundles_have_the_same_keys_and_content(both: tuple[Site, Delegate]) -> None:
    site, me = both
    await as_delegate(site)
    pem = (await site.command(site.server_family, "bundle", "show")).out
    certificates = (await me.x509_bundles().read()).ca_certificates
    assert set(certificates) == {f"spiffe://{DOMAIN}"}
    assert len(split_certificates(certificates[f"spiffe://{DOMAIN}"])) == pem.count("BEGIN")
    keys = (await me.jwt_bundles().read()).bundles
    assert set(keys) == {f"spiffe://{DOMAIN}"}
    assert b'"kid"' in keys[f"spiffe://{DOMAIN}"]
    assert b'"use"' not in keys[f"spiffe://{DOMAIN}"]


async def test_a_lost_right_ends_a_stream(both: tuple[Site, Delegate]) -> None:
    site, me = both
    entry = await site.add("/proxy")
    await site.until_served("/proxy")
    stream = me.svids(WEB)
    await stream.read()
    await site.answer("entry", "delete", "-entryID", entry)
    # SPIRE's looks at the right when there is something to send.
    await site.add("/web", selector=":".join(WEB))
    wanted = (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
    assert await refused(stream) == wanted


async def test_a_look_at_the_agent_shows_the_same(both: tuple[Site, Delegate]) -> None:
    site, me = both
    await as_delegate(site)
    await me.tokens(pid=os.getpid())
    stub: Any = debug_pb2_grpc.DebugStub(me.channel)

    async def info() -> debug_pb2.GetInfoResponse:
        answer: debug_pb2.GetInfoResponse = await stub.GetInfo(debug_pb2.GetInfoRequest())
        return answer

    found = await until(info, lambda info: info.cached_x509_svids_count == 1)
    agent_id = site.agent_id.removeprefix(f"spiffe://{DOMAIN}")
    assert [each.id.path for each in found.svid_chain] == [agent_id, ""]
    assert all(each.expires_at for each in found.svid_chain)
    assert "O=SPIRE" in found.svid_chain[0].subject
    counts = (found.svids_count, found.cached_x509_svids_count, found.cached_jwt_svids_count)
    assert counts == (1, 1, 1)
    assert found.cached_svidstore_x509_svids_count == 0
    assert found.last_sync_success > 1_700_000_000
    assert 0 <= found.uptime < 300


async def test_the_log_level_is_read_set_and_reset_alike(both: tuple[Site, Delegate]) -> None:
    _, me = both
    stub: Any = logger_pb2_grpc.LoggerStub(me.channel)
    launched = types.Logger(current_level=types.DEBUG, launch_level=types.DEBUG)
    assert await stub.GetLogger(logger_pb2.GetLoggerRequest()) == launched
    request = logger_pb2.SetLogLevelRequest(new_level=types.WARN)
    changed = types.Logger(current_level=types.WARN, launch_level=types.DEBUG)
    assert await stub.SetLogLevel(request) == changed
    assert await stub.ResetLogLevel(logger_pb2.ResetLogLevelRequest()) == launched
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    call = stub.SetLogLevel(logger_pb2.SetLogLevelRequest())
    assert await refused(call) == (invalid, "newLevel value cannot be LogLevel_UNSPECIFIED")
    call = stub.SetLogLevel(logger_pb2.SetLogLevelRequest(new_level=99))  # type: ignore[arg-type]
    assert await refused(call) == (invalid, "unsupported log level")


async def test_what_the_admin_socket_does_not_have_is_unimplemented_on_both(
    both: tuple[Site, Delegate],
) -> None:
    _, me = both
    for method in ("/grpc.health.v1.Health/Check", "/SpiffeWorkloadAPI/FetchX509SVID"):
        unary: Any = me.channel.unary_unary(method)
        code, _ = await refused(unary(b""))
        assert code is grpc.StatusCode.UNIMPLEMENTED
