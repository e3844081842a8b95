"""Two servers, as two processes, on one PostgreSQL; and agents of which one is a test itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from finial.api.spire.server import entry_pb2, entry_pb2_grpc
from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.rpc import RpcError
from finial.spiffe.x509_svid import X509Svid
from tests.fakes.ca import pkcs8
from tests.fakes.daemon import comes_true
from tests.fakes.lab import Lab, empty_lab
from tests.fakes.server_api import attest_with, csr

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from finial.runtime.rpc import Channel
    from finial.spiffe.bundle import Bundle


@asynccontextmanager
async def two_servers(dsn: str, **setting: Any) -> AsyncIterator[tuple[Lab, Lab]]:
    """Two labs whose servers share a database and run; only the first one's agent is used."""
    async with (
        empty_lab(postgres=dsn, **setting) as one,
        empty_lab(postgres=dsn, **setting) as other,
    ):
        await asyncio.gather(one.server.start(), other.server.start())
        # Each has what it needs of the other's authorities before a test begins.
        await comes_true(other.bundle, lambda bundle: len(bundle.x509_authorities) == 2)
        await comes_true(one.bundle, lambda bundle: len(bundle.x509_authorities) == 2)
        yield one, other


async def join(lab: Lab, bundle: Bundle) -> X509Svid:
    """A new agent's SVID, without the agent program."""
    key = ec.generate_private_key(ec.SECP256R1())
    nobody = lab.reach.connect(bundle)
    result = await attest_with(nobody, await lab.token(), csr(key))
    await nobody.close()
    return X509Svid.parse(tuple(result.svid.cert_chain), pkcs8(key))


@asynccontextmanager
async def connected(lab: Lab, bundle: Bundle, svid: X509Svid | None = None) -> AsyncIterator[Any]:
    channel = lab.reach.connect(bundle, svid)
    try:
        yield channel
    finally:
        await channel.close()


async def authorized(channel: Channel) -> set[str]:
    """The paths of the entries that an agent is given."""
    stub: Any = entry_pb2_grpc.EntryStub(channel)
    answer = await stub.GetAuthorizedEntries(entry_pb2.GetAuthorizedEntriesRequest())
    return {entry.spiffe_id.path for entry in answer.entries}


async def reason_for_refusal(lab: Lab, bundle: Bundle, svid: X509Svid) -> int:
    """Why an agent gets nothing; 0 if it does."""
    async with connected(lab, bundle, svid) as channel:
        try:
            await authorized(channel)
        except RpcError as error:
            (packed,) = error.status_details()
            detail = PermissionDeniedDetails()
            assert packed.Unpack(detail)
            return detail.reason
    return 0
