"""Fetching bundles from endpoints that are honest, and from others."""

import asyncio
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest

from finial.runtime.web.tls import web_context
from finial.server.federation.addresses import AddressPolicy
from finial.server.federation.fetcher import BundleFetcher
from finial.spiffe.bundle import BundleSet
from finial.spiffe.federation import Fetch, FetchedBundle
from tests.fakes.ca import FakeCa
from tests.fakes.federation_lab import LOOPBACK, FederationLab, spiffe, web
from tests.fakes.waiting import eventually
from tests.fakes.web_peer import FakeResolver, LyingPeer, document
from tests.fakes.web_pki import WebPki


async def test_a_bundle_is_fetched_by_https_web(lab: FederationLab) -> None:
    async with lab.web_peer().listening() as peer:
        fetched = await lab.fetch(web(peer.port))
    assert fetched.bundle == lab.other.bundle()
    assert fetched.complaints == ()


async def test_a_bundle_is_fetched_by_https_spiffe_whatever_the_host(lab: FederationLab) -> None:
    async with lab.spiffe_peer().listening() as peer:
        fetched = await lab.fetch(spiffe(peer.port))
    assert fetched.bundle == lab.other.bundle()


async def test_a_spiffe_endpoint_may_lie_in_another_trust_domain(lab: FederationLab) -> None:
    third = FakeCa("third.test")
    async with lab.spiffe_peer("spiffe://third.test/x", ca=third).listening() as peer:
        relationship = spiffe(peer.port, "spiffe://third.test/x")
        fetched = await lab.fetch(relationship, third.bundles())
        assert fetched.bundle == lab.other.bundle()
        text = await lab.complaint(relationship, lab.other.bundles())
    assert "federate with that, too" in text


@pytest.mark.parametrize("spiffe_id", ["spiffe://other.test/else", "spiffe://other.test/spire"])
async def test_not_a_byte_of_http_goes_to_another_id(lab: FederationLab, spiffe_id: str) -> None:
    async with lab.spiffe_peer(spiffe_id).listening() as peer:
        text = await lab.complaint(spiffe(peer.port))
        await eventually(lambda: not peer.requests)
    assert f"but {spiffe_id}" in text
    assert peer.requests == []


async def test_not_a_byte_of_http_goes_to_a_stranger_with_the_right_id(lab: FederationLab) -> None:
    stranger = FakeCa("other.test")
    async with lab.spiffe_peer(ca=stranger).listening() as peer:
        text = await lab.complaint(spiffe(peer.port))
    assert "certificate refused" in text
    assert peer.requests == []


async def test_no_web_certificate_is_a_spiffe_endpoint(lab: FederationLab) -> None:
    async with lab.web_peer().listening() as peer:
        text = await lab.complaint(spiffe(peer.port))
    assert "certificate refused" in text
    assert peer.requests == []


async def test_an_expired_svid_is_refused_by_the_injected_clock(lab: FederationLab) -> None:
    async with lab.spiffe_peer().listening() as peer:
        lab.clock.jump(7200)
        text = await lab.complaint(spiffe(peer.port))
    assert "bundle endpoint is not spiffe://other.test/spire/server" in text
    assert peer.requests == []


async def test_without_the_first_bundle_nothing_is_asked(lab: FederationLab) -> None:
    async with lab.spiffe_peer().listening() as peer:
        text = await lab.complaint(spiffe(peer.port), BundleSet())
    assert "give the first one by hand" in text
    assert peer.connections == 0


async def test_another_host_s_certificate_is_refused(lab: FederationLab) -> None:
    async with lab.web_peer("else.test").listening() as peer:
        text = await lab.complaint(web(peer.port))
    assert "certificate refused: hostname mismatch" in text.lower()
    assert peer.requests == []


async def test_an_unknown_authority_s_certificate_is_refused(lab: FederationLab) -> None:
    peer = LyingPeer(WebPki().issue("bundles.other.test"), lab.document())
    async with peer.listening():
        text = await lab.complaint(web(peer.port))
    assert "certificate refused" in text
    assert peer.requests == []


# -- where it may lead -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "224.0.0.1",
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_refused(
    lab: FederationLab, address: str
) -> None:
    lab.resolver = FakeResolver([ip_address(address)])
    async with lab.web_peer().listening() as peer:
        text = await lab.complaint(web(peer.port), fetcher=lab.fetcher(allowed=()))
        assert "is refused: " in text
        assert peer.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f000001", "2130706433", "localhost", "127.1"])
async def test_spelling_an_address_otherwise_does_not_help(lab: FederationLab, host: str) -> None:
    fetcher = BundleFetcher(clock=lab.clock, addresses=AddressPolicy())
    async with lab.web_peer(host).listening() as peer:
        text = await lab.complaint(web(peer.port, host), fetcher=fetcher)
        assert "127.0.0.1 is refused: loopback" in text
        assert peer.connections == 0


async def test_a_name_that_is_bound_anew_is_not_asked_again(lab: FederationLab) -> None:
    """A name server that says something harmless first, and loopback when asked again."""
    lab.resolver = FakeResolver([ip_address("127.0.0.2")], [LOOPBACK])
    async with lab.web_peer().listening() as peer:
        fetcher = lab.fetcher(allowed=["127.0.0.2"])
        text = await lab.complaint(web(peer.port), fetcher=fetcher)
        assert "127.0.0.2: connect" in text
        assert peer.connections == 0
    assert lab.resolver.asked == ["bundles.other.test"]


async def test_of_several_addresses_only_harmless_ones_are_asked(lab: FederationLab) -> None:
    lab.resolver = FakeResolver([ip_address("127.0.0.2"), LOOPBACK])
    async with lab.web_peer().listening() as peer:
        fetcher = lab.fetcher(denied=["127.0.0.2"])
        assert (await lab.fetch(web(peer.port), fetcher=fetcher)).bundle == lab.other.bundle()


def redirect(host: str, port: int) -> bytes:
    return document(b"", f"Location: https://{host}:{port}/", status="302 Found")


async def test_a_redirect_is_refused(lab: FederationLab) -> None:
    async with lab.web_peer().listening() as target:
        moved = redirect("bundles.other.test", target.port)
        async with lab.web_peer(answer=moved).listening() as peer:
            text = await lab.complaint(web(peer.port))
        assert "set follow_redirects = true" in text
        assert target.connections == 0


async def test_a_redirect_is_followed_where_the_operator_wants_it(lab: FederationLab) -> None:
    fetcher = lab.fetcher(follow_redirects=True)
    async with lab.web_peer().listening() as target:
        moved = redirect("bundles.other.test", target.port)
        async with lab.web_peer(answer=moved).listening() as peer:
            fetched = await lab.fetch(web(peer.port), fetcher=fetcher)
    assert fetched.bundle == lab.other.bundle()


async def test_a_redirect_that_is_followed_is_judged_as_the_first_step(lab: FederationLab) -> None:
    lab.resolver = FakeResolver([LOOPBACK], [ip_address("127.0.0.2")])
    fetcher = lab.fetcher(allowed=["127.0.0.1"], follow_redirects=True)
    async with lab.web_peer().listening() as target:
        moved = redirect("bundles.other.test", target.port)
        async with lab.web_peer(answer=moved).listening() as peer:
            text = await lab.complaint(web(peer.port), fetcher=fetcher)
        assert "127.0.0.2 is refused: loopback" in text
        assert target.connections == 0


async def test_who_answers_a_redirect_that_is_followed_must_be_the_same(lab: FederationLab) -> None:
    fetcher = lab.fetcher(follow_redirects=True)
    async with lab.spiffe_peer("spiffe://other.test/else").listening() as target:
        moved = redirect("x.test", target.port)
        async with lab.spiffe_peer(answer=moved).listening() as peer:
            text = await lab.complaint(spiffe(peer.port), fetcher=fetcher)
        assert "but spiffe://other.test/else" in text
        assert target.requests == []


# -- what comes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (document(b"no", status="404 Not Found"), "status 404, not 200"),
        (document(b"no", status="500 Oh"), "status 500, not 200"),
        (document(b"<html>"), "bundle document"),
        (document(b"{}"), "no authorities found"),
        (document(b"", status="304 Not Modified"), "status 304, not 200"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4194305\r\n\r\n", "more than 4194304 bytes"),
    ],
)
async def test_what_is_no_bundle_is_an_error_that_names_all(
    lab: FederationLab, answer: bytes, complaint: str
) -> None:
    async with lab.web_peer(answer=answer).listening() as peer:
        text = await lab.complaint(web(peer.port))
        url = f"https://bundles.other.test:{peer.port}/"
    assert text.startswith(f'cannot fetch the bundle of "other.test" from {url}: ')
    assert complaint in text


async def test_a_slow_peer_costs_nobody_but_itself(lab: FederationLab) -> None:
    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await lab.clock.sleep(1000)

    slow = LyingPeer(lab.pki.issue("bundles.other.test"), say=never)
    fetcher = lab.fetcher()
    async with slow.listening(), lab.web_peer().listening() as quick:
        dead = [
            asyncio.ensure_future(lab.complaint(web(slow.port), fetcher=fetcher)) for _ in range(20)
        ]
        await eventually(lambda: len(slow.requests) == 20)
        for _ in range(3):
            fetched = await lab.fetch(web(quick.port), fetcher=fetcher)
            assert fetched.bundle == lab.other.bundle()
        await lab.clock.advance(30)
        for text in await asyncio.gather(*dead):
            assert "does not answer in full within 30 s" in text


async def test_system_authorities_are_those_of_the_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki = WebPki()
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.trusted(tmp_path)))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert len(web_context().get_ca_certs()) == 1


async def test_a_document_is_read_while_the_loop_goes_on(
    lab: FederationLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    answered = Fetch.answered

    def noted(self: Fetch, status: int, location: str | None, body: bytes) -> Fetch | FetchedBundle:
        threads.append(threading.current_thread())
        return answered(self, status, location, body)

    monkeypatch.setattr(Fetch, "answered", noted)
    async with lab.web_peer().listening() as peer:
        await lab.fetch(web(peer.port))
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()
