"""The HTTPS client against peers that lie, dawdle and overdo."""

import asyncio
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from finial.runtime.web import Answer, ClientLimits, Target, Trust, WebClient, WebError
from finial.runtime.web.resolve import Address
from finial.runtime.web.tls import web_context
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import eventually
from tests.fakes.web_peer import FakeResolver, LyingPeer, document
from tests.fakes.web_pki import WebPki

HOST = "peer.test"
LOOPBACK: Address = ip_address("127.0.0.1")
MOST = 1000
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Lab:
    """A client, and what it needs to reach a peer on loopback."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pki = WebPki()
        monkeypatch.setenv("SSL_CERT_FILE", str(self.pki.trusted(folder)))
        self.clock = FakeClock()
        self.resolver = FakeResolver([LOOPBACK])
        self.limits = ClientLimits()

    def client(self) -> WebClient:
        return WebClient(clock=self.clock, most=MOST, limits=self.limits, resolver=self.resolver)

    async def get(self, peer: LyingPeer, *, host: str = HOST, trust: Trust | None = None) -> Answer:
        target = Target(host, peer.port, "/bundle?a=1")
        return await self.client().get(target, trust or Trust(web_context()), lambda _: "")

    async def complaint(self, answer: bytes) -> str:
        peer = LyingPeer(self.pki.issue(HOST), answer)
        async with peer.listening():
            with pytest.raises(WebError) as caught:
                await self.get(peer)
        return str(caught.value)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


async def test_a_document_is_fetched_with_one_plain_get(lab: Lab) -> None:
    peer = LyingPeer(lab.pki.issue(HOST), document(b"{}", "Content-Type: application/json"))
    async with peer.listening():
        answer = await lab.get(peer)
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["content-type"] == "application/json"
    [request] = peer.requests
    lines = request.decode().lower().split("\r\n")
    assert lines[0] == "get /bundle?a=1 http/1.1"
    assert f"host: {HOST}:{peer.port}" in lines
    assert "accept-encoding: identity" in lines
    assert lab.resolver.asked == [HOST]


async def test_any_final_status_is_an_answer_and_nothing_is_followed(lab: Lab) -> None:
    moved = document(b"", "Location: https://elsewhere.test/", status="302 Found")
    peer = LyingPeer(lab.pki.issue(HOST), moved)
    async with peer.listening():
        answer = await lab.get(peer)
    assert (answer.status, answer.headers["location"]) == (302, "https://elsewhere.test/")
    assert peer.connections == 1


async def test_no_proxy_is_taken_from_the_environment(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    peer = LyingPeer(lab.pki.issue(HOST), document(b"{}"))
    async with peer.listening():
        assert (await lab.get(peer)).status == 200


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (document(bytes(MOST + 1)), f"more than {MOST} bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", f"more than {MOST} bytes"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"3e8\r\n%b\r\n" % bytes(1000) * 2,
            f"more than {MOST} bytes",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\n" + bytes(MOST + 1), f"more than {MOST} bytes"),
        (document(b"x", "Content-Encoding: gzip"), "packed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000, "too long"),
        (document(b"", "X: " + "y" * 20_000), "bytes of header"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9, "never comes to its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nxx", "closed"),
        (b"", "closes"),
        (b"SSH-2.0-OpenSSH\r\n", "closes"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "illegal"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "Content-Length"),
    ],
)
async def test_an_answer_that_is_none_or_too_much_is_an_error(
    lab: Lab, answer: bytes, complaint: str
) -> None:
    assert complaint in await lab.complaint(answer)


async def test_a_peer_that_trickles_is_given_up_at_the_deadline(lab: Lab) -> None:
    ended = asyncio.Event()

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
        for _second in range(29):
            writer.write(b"x")
            await writer.drain()
            await lab.clock.sleep(1)
        ended.set()
        await lab.clock.sleep(1000)

    peer = LyingPeer(lab.pki.issue(HOST), say=trickle)
    async with peer.listening():
        fetching = asyncio.ensure_future(lab.get(peer))
        await eventually(lambda: peer.requests)
        await lab.clock.advance(29.5)
        assert not fetching.done()
        await lab.clock.advance(1)
        with pytest.raises(WebError, match="does not answer in full within 30 s"):
            await fetching


async def test_a_peer_without_handshake_is_left_for_the_next_address(lab: Lab) -> None:
    accepted: list[asyncio.StreamWriter] = []
    mute = await asyncio.start_server(lambda _, w: accepted.append(w), "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    target = Target(HOST, port, "/")
    lab.resolver = FakeResolver([LOOPBACK, LOOPBACK])
    fetching = asyncio.ensure_future(lab.client().get(target, Trust(web_context()), lambda _: ""))
    await eventually(lambda: lab.clock.sleepers == 2)
    await lab.clock.advance(11)
    assert not fetching.done()
    await lab.clock.advance(10)
    with pytest.raises(WebError) as caught:
        await fetching
    assert str(caught.value).count("does not answer within 10 s") == 2
    for writer in accepted:
        writer.transport.abort()
    mute.close()
    await mute.wait_closed()


async def test_only_addresses_without_complaint_are_asked(lab: Lab) -> None:
    bad: Address = ip_address("127.0.0.2")
    lab.resolver = FakeResolver([bad, LOOPBACK])
    peer = LyingPeer(lab.pki.issue(HOST), document(b"{}"))
    async with peer.listening():
        target = Target(HOST, peer.port, "/")
        client = lab.client()
        trust = Trust(web_context())
        answer = await client.get(target, trust, lambda a: "bad" if a == bad else "")
        assert answer.status == 200
        with pytest.raises(WebError, match=r"^bad; bad$"):
            await client.get(target, trust, lambda _: "bad")
        assert peer.connections == 1


async def test_a_name_is_resolved_once(lab: Lab) -> None:
    other: Address = ip_address("127.0.0.2")
    lab.resolver = FakeResolver([LOOPBACK], [other])
    seen: list[Address] = []
    peer = LyingPeer(lab.pki.issue(HOST), document(b"{}"))
    async with peer.listening():
        target = Target(HOST, peer.port, "/")

        def note(address: Address) -> str:
            seen.append(address)
            return ""

        await lab.client().get(target, Trust(web_context()), note)
    assert seen == [LOOPBACK]
    assert lab.resolver.asked == [HOST]
    assert peer.connections == 1


async def test_nothing_is_sent_to_who_is_not_verified(lab: Lab) -> None:
    def refuse(chain: Sequence[bytes]) -> None:
        assert len(chain) == 1
        raise ValueError("not the one")

    peer = LyingPeer(lab.pki.issue(HOST), document(b"{}"))
    async with peer.listening():
        with pytest.raises(WebError, match="not the one"):
            await lab.get(peer, trust=Trust(web_context(), refuse))
    assert peer.requests == []


async def test_a_host_that_cannot_be_resolved_is_named(lab: Lab) -> None:
    client = WebClient(clock=lab.clock, most=MOST)
    with pytest.raises(WebError, match=r"no-such-host\.invalid cannot be resolved"):
        await client.get(
            Target("no-such-host.invalid", 443, "/"), Trust(web_context()), lambda _: ""
        )


@pytest.mark.parametrize("old", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_clients_speak_no_old_tls(lab: Lab, old: ssl.TLSVersion) -> None:  # noqa: ARG001
    assert web_context().minimum_version > old
