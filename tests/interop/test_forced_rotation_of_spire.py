"""An operator of an unmodified spire-server rotates authorities by force; our agent follows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.api.workload import workload_pb2 as pb
from finial.spiffe import jwt_svid
from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import VerifiedX509Svid, split_certificates, verify_chain
from tests.fakes.grpcio import HEADER, SERVICE
from tests.interop.gospiffe_workload import all_well, steps
from tests.interop.programs import FINIAL, Family
from tests.interop.site import DOMAIN, Site, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
WEB = f"spiffe://{DOMAIN}/web"


class Holder:
    """A workload that verifies what its one stream tells it, the moment it is told."""

    def __init__(self) -> None:
        self.held: pb.X509SVIDResponse | None = None
        self.roots: set[bytes] = set()  # that its SVIDs have hung from
        self.gaps: list[str] = []

    async def watch(self, socket: Path) -> None:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            stream: Any = channel.unary_stream(
                f"{SERVICE}FetchX509SVID",
                pb.X509SVIDRequest.SerializeToString,
                pb.X509SVIDResponse.FromString,
            )(pb.X509SVIDRequest(), metadata=HEADER)
            async for message in stream:
                self.held = message
                self.look()
            self.gaps.append("the stream ended")

    def look(self) -> None:
        """Verify all that is held, as it is now, by the bundle that came with it."""
        assert self.held is not None
        for svid in self.held.svids:
            try:
                self.roots.add(verified(svid).root_der)
            except ValueError as error:
                self.gaps.append(f"{svid.spiffe_id}: {error}")


def verified(svid: pb.X509SVID) -> VerifiedX509Svid:
    authorities = [X509Authority.from_der(der) for der in split_certificates(svid.bundle)]
    bundle = Bundle(TrustDomain(DOMAIN), tuple(authorities))
    return verify_chain(split_certificates(svid.x509_svid), bundle, time.time())


def root_of(svid: pb.X509SVID) -> bytes | None:
    """The authority that an SVID hangs from; None when its bundle has it no more."""
    try:
        return verified(svid).root_der
    except ValueError:
        return None


@contextlib.asynccontextmanager
async def watched(site: Site) -> AsyncIterator[Holder]:
    holder = Holder()
    task = asyncio.create_task(holder.watch(site.socket))
    try:
        yield holder
    finally:
        assert not task.done(), f"{task}"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def site(peers: Family, folder: Path) -> AsyncIterator[Site]:
    async with Site(folder, server=peers, agent=FINIAL) as site:
        yield site


async def authority(site: Site, kind: str, verb: str, authority_id: str = "") -> Any:
    words = ("-authorityID", authority_id) if authority_id else ()
    return await site.answer("localauthority", kind, verb, *words)


async def replaced(site: Site, kind: str) -> tuple[str, str]:
    """Prepare and activate an authority; return the IDs of the old one and the new."""
    old = (await authority(site, kind, "show"))["active"]["authority_id"]
    new = (await authority(site, kind, "prepare"))["prepared_authority"]["authority_id"]
    await authority(site, kind, "activate", new)
    return old, new


async def serial(site: Site) -> str:
    (agent,) = (await site.answer("agent", "list"))["agents"]
    return str(agent["x509svid_serial_number"])


async def test_no_moment_passes_without_a_valid_svid(site: Site, gospiffe: Path) -> None:
    # More than the agent replaces at once.
    await site.add_many(150)
    await site.svids_of(150)
    async with watched(site) as holder:
        await until(held(holder), lambda count: count == 150)
        own = await serial(site)
        (first,) = holder.roots
        old, _ = await replaced(site, "x509")
        # Until it is tainted the old authority is as good as the new one.
        await until(in_bundle(holder), lambda roots: len(roots) == 2)
        assert await serial(site) == own
        assert await hanging_from(holder, first)() == 150
        await authority(site, "x509", "taint", old)
        await until(hanging_from(holder, first), lambda count: count == 0)
        assert len(await in_bundle(holder)()) == 2  # peers may still present the old ones
        await until(lambda: serial(site), lambda now: now != own)
        await authority(site, "x509", "revoke", old)
        await until(in_bundle(holder), lambda roots: len(roots) == 1)
        assert holder.gaps == []
        assert await hanging_from(holder, first)() == 0
    await site.add("/web", selector="unix:gid:0")
    await until(site.ids, lambda served: "/web" in served)
    assert await steps(gospiffe, site.socket)


async def test_authorities_tainted_and_revoked_between_two_syncs_are_left_all_the_same(
    site: Site,
) -> None:
    await site.add("/web")
    await site.until_served("/web")
    async with watched(site) as holder:
        await until(held(holder), lambda count: count == 1)
        own = await serial(site)
        (first,) = holder.roots
        assert await kid(site)
        for kind in ("jwt", "x509"):
            old, _ = await replaced(site, kind)
            await authority(site, kind, "taint", old)
            await authority(site, kind, "revoke", old)
        jwt_key = (await authority(site, "jwt", "show"))["active"]["authority_id"]
        await until(lambda: kid(site), lambda now: now == jwt_key)
        await until(hanging_from(holder, first), lambda count: count == 0)
        await until(lambda: serial(site), lambda now: now != own)
    await site.add("/later", selector="unix:gid:0")
    await until(site.ids, lambda served: set(served) == {"/web", "/later"})


async def test_a_cached_token_of_a_tainted_key_is_not_given_again(
    site: Site, gospiffe: Path
) -> None:
    await site.add("/web", "-jwtSVIDTTL", "3600")
    await site.until_served("/web")
    before = await kid(site)
    old, new = await replaced(site, "jwt")
    assert before == old
    assert await kid(site) == old  # in the cache, and as good as any
    await authority(site, "jwt", "taint", old)
    await until(lambda: kid(site), lambda now: now == new)
    await authority(site, "jwt", "revoke", old)
    await until(lambda: jwt_keys(site), lambda keys: keys == [new])
    assert await steps(gospiffe, site.socket) == all_well(WEB)


def held(holder: Holder) -> Any:
    async def ask() -> int:
        return 0 if holder.held is None else len(holder.held.svids)

    return ask


def in_bundle(holder: Holder) -> Any:
    async def ask() -> set[bytes]:
        assert holder.held is not None
        holder.look()  # time passes, too
        return set(split_certificates(holder.held.svids[0].bundle))

    return ask


def hanging_from(holder: Holder, root: bytes) -> Any:
    async def ask() -> int:
        assert holder.held is not None
        return sum(root_of(svid) == root for svid in holder.held.svids)

    return ask


async def kid(site: Site) -> str:
    """The key that the agent's token for the workload is signed with."""
    words = ("api", "fetch", "jwt", "-audience", "rotation", "-output", "json")
    outcome = await site.workload(FINIAL, *words)
    token = json.loads(outcome.out)[0]["svids"][0]["svid"]
    return str(jwt_svid.parse_unverified(token).key_id)


async def jwt_keys(site: Site) -> list[str]:
    """The keys of the own trust domain, as a workload gets them."""
    async with grpc.aio.insecure_channel(f"unix:{site.socket}") as channel:
        stream: Any = channel.unary_stream(
            f"{SERVICE}FetchJWTBundles",
            pb.JWTBundlesRequest.SerializeToString,
            pb.JWTBundlesResponse.FromString,
        )(pb.JWTBundlesRequest(), metadata=HEADER)
        message = await stream.read()
        stream.cancel()
    keys = json.loads(message.bundles[f"spiffe://{DOMAIN}"])["keys"]
    return [key["kid"] for key in keys]
