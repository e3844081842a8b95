"""What an open stream is told, and when. The cache is real, the transport is a list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from finial.agent.cache.entries import Entry
from finial.agent.cache.views import Topic
from finial.agent.cache.workloads import Workloads
from finial.agent.endpoints.streams import FanOut, TopicStream
from finial.api.workload import workload_pb2 as pb
from finial.attestors.selector import Selector
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import NOW, FakeCa

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.runtime.rpc import StatusError

CA = FakeCa()
ROOT = (Selector("unix", "uid:0"),)


class Peer:
    """The caller's end of a push stream."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.error: StatusError | None = None
        self.over: Callable[[], None] = lambda: None

    def send(self, message: bytes) -> None:
        self.messages.append(message)

    def close(self, error: StatusError | None = None) -> None:
        self.error = error
        self.over()

    def on_done(self, callback: Callable[[], None]) -> None:
        self.over = callback
        if self.error is not None:
            callback()

    def ids(self) -> list[str]:
        response = pb.X509SVIDResponse.FromString(self.messages[-1])
        return [svid.spiffe_id.rpartition("/")[2] for svid in response.svids]


class Lab:
    def __init__(self) -> None:
        self.cache = Workloads(CA.trust_domain)
        self.cache.replace_bundles({CA.trust_domain: CA.bundle()})
        self.fan_out = FanOut()

    def entries(self, *names: str) -> list[Entry]:
        entries = [
            Entry(name, SpiffeId(f"spiffe://example.org/{name}"), frozenset(ROOT)) for name in names
        ]
        self.cache.replace_entries({entry.id: entry for entry in entries})
        return entries

    def issue(self, *entries: Entry) -> None:
        self.cache.put_svids([(one, CA.issue(one.spiffe_id), NOW + 1800) for one in entries])

    def open(self, topic: Topic = Topic.X509_SVID) -> Peer:
        peer = Peer()
        stream: Any = peer
        view = self.cache.view(ROOT)
        TopicStream(
            told_by=self.cache, fan_out=self.fan_out, view=view, topic=topic, stream=stream
        ).open()
        return peer


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_is_there_is_sent_before_opening_returns() -> None:
    lab = Lab()
    lab.issue(*lab.entries("a", "b"))
    assert lab.open().ids() == ["a", "b"]


async def test_a_new_stream_waits_for_all_identities_and_an_open_one_does_not() -> None:
    lab = Lab()
    a, _ = lab.entries("a", "b")
    lab.issue(a)
    fresh = lab.open()
    assert fresh.messages == []
    lab.issue(*lab.cache.due(NOW))
    await turn()
    assert fresh.ids() == ["a", "b"]
    entries = lab.entries("a", "b", "c", "d")
    lab.issue(entries[2])
    await turn()
    assert fresh.ids() == ["a", "b", "c"]


async def test_several_changes_in_one_turn_are_one_message() -> None:
    lab = Lab()
    lab.issue(*lab.entries("a"))
    peer = lab.open()
    for names in ("ab", "abc", "abcd"):
        lab.issue(*lab.entries(*names))
    await turn()
    assert len(peer.messages) == 2
    assert peer.ids() == ["a", "b", "c", "d"]


async def test_a_state_that_returns_to_what_was_sent_is_not_sent_again() -> None:
    lab = Lab()
    lab.issue(*lab.entries("a"))
    peer = lab.open(Topic.X509_BUNDLES)
    lab.cache.replace_bundles({CA.trust_domain: CA.bundle(FakeCa())})
    lab.cache.replace_bundles({CA.trust_domain: CA.bundle()})
    await turn()
    assert len(peer.messages) == 1


async def test_without_identity_the_stream_is_denied_and_forgotten() -> None:
    lab = Lab()
    peer = lab.open()
    assert peer.error is not None
    assert peer.error.code is grpc.StatusCode.PERMISSION_DENIED
    assert not lab.cache.view(ROOT).listened


async def test_with_nothing_to_be_had_the_stream_is_unavailable() -> None:
    lab = Lab()
    lab.entries("a")
    peer = lab.open()
    assert peer.error is None
    lab.cache.mark_failed(["a"])
    await turn()
    assert peer.error is not None
    assert peer.error.code is grpc.StatusCode.UNAVAILABLE


async def test_a_closed_stream_leaves_the_view() -> None:
    lab = Lab()
    lab.issue(*lab.entries("a"))
    peer = lab.open()
    assert lab.cache.view(ROOT).listened
    peer.over()
    assert not lab.cache.view(ROOT).listened


async def test_a_change_for_thousands_is_spread_over_turns_of_the_loop() -> None:
    lab = Lab()
    lab.issue(*lab.entries("a"))
    peers = [lab.open() for _ in range(1000)]
    lab.issue(*lab.entries("a", "b"))
    await asyncio.sleep(0)
    told = sum(len(peer.messages) == 2 for peer in peers)
    assert 0 < told < 1000
    for _ in range(20):
        await asyncio.sleep(0)
    assert all(peer.ids() == ["a", "b"] for peer in peers)
    assert peers[0].messages[-1] is peers[-1].messages[-1]
