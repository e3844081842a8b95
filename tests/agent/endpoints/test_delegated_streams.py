"""Streams of delegates on a cache that has room for few views. No server and no socket."""

from __future__ import annotations

import asyncio
from typing import Any

from finial.agent.cache.entries import Entry
from finial.agent.cache.viewing import ViewTable
from finial.agent.cache.workloads import Workloads
from finial.agent.endpoints.delegated_identity import DelegatedIdentityService
from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import delegatedidentity_pb2 as pb
from finial.attestors.selector import Selector
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import NOW, FakeCa
from tests.fakes.clock import FakeClock

CA = FakeCa()
PROXY = SpiffeId("spiffe://example.org/proxy")
MINE = (Selector("unix", "uid:0"),)
WEB = (Selector("unix", "uid:1"),)


class Call:
    """A call and its stream, of a caller that is attested at once."""

    caller = None

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def attest(self, _caller: object) -> tuple[Selector, ...]:
        return MINE

    def push_stream(self) -> Call:
        return self

    def send(self, message: bytes) -> None:
        self.messages.append(message)

    def on_done(self, over: object) -> None:
        pass


async def test_a_stream_hears_of_changes_where_there_is_room_for_one_unused_view_only() -> None:
    cache = Workloads(CA.trust_domain, delegates=(PROXY,))
    cache._views = ViewTable(max_idle=1)
    cache.synced = True
    cache.replace_bundles({CA.trust_domain: CA.bundle()})
    proxy = Entry("proxy", PROXY, frozenset(MINE))
    web = Entry("web", SpiffeId("spiffe://example.org/web"), frozenset(WEB))
    cache.replace_entries({"proxy": proxy})
    call: Any = Call()
    service = DelegatedIdentityService(
        workloads=cache, callers=call, early=call, tokens=call, clock=FakeClock(NOW)
    )
    wanted = types.Selector(type="unix", value="uid:1")
    service.SubscribeToX509SVIDs(pb.SubscribeToX509SVIDsRequest(selectors=[wanted]), call)
    cache.replace_entries({"proxy": proxy, "web": web})
    cache.put_svids([(web, CA.issue(web.spiffe_id), NOW + 1800)])
    await asyncio.sleep(0)
    message = pb.SubscribeToX509SVIDsResponse.FromString(call.messages[-1])
    assert [each.x509_svid.id.path for each in message.x509_svids] == ["/web"]
