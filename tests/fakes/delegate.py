"""grpcio as a delegate's client on the agent's admin socket."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import grpc

from finial.api.spire import types_pb2 as types
from finial.api.spire.agent import delegatedidentity_pb2 as pb
from finial.api.spire.agent import delegatedidentity_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

PATIENCE = 8.0
"""Seconds that a call may take, the whole of a stream as well."""
DELEGATE = "spiffe://example.org/proxy"
ME = ("unix", f"uid:{os.geteuid()}")
OTHER = ("unix", "uid:4711")


class Delegate:
    """Calls any method of DelegatedIdentity."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.stub: Any = pb_grpc.DelegatedIdentityStub(channel)

    def svids(self, *selectors: tuple[str, str], pid: int = 0) -> Any:
        """Open a stream of SVIDs; `await stream.read()` for the next message."""
        request = pb.SubscribeToX509SVIDsRequest(selectors=proto(selectors), pid=pid)
        return self.stub.SubscribeToX509SVIDs(request, timeout=PATIENCE)

    def x509_bundles(self) -> Any:
        return self.stub.SubscribeToX509Bundles(
            pb.SubscribeToX509BundlesRequest(), timeout=PATIENCE
        )

    def jwt_bundles(self) -> Any:
        return self.stub.SubscribeToJWTBundles(pb.SubscribeToJWTBundlesRequest(), timeout=PATIENCE)

    async def tokens(
        self, *selectors: tuple[str, str], pid: int = 0, audience: tuple[str, ...] = ("a",)
    ) -> pb.FetchJWTSVIDsResponse:
        request = pb.FetchJWTSVIDsRequest(audience=audience, selectors=proto(selectors), pid=pid)
        answer = await self.stub.FetchJWTSVIDs(request, timeout=PATIENCE)
        assert isinstance(answer, pb.FetchJWTSVIDsResponse)
        return answer


def proto(selectors: Iterable[tuple[str, str]]) -> list[types.Selector]:
    return [types.Selector(type=kind, value=value) for kind, value in selectors]


def paths(response: Any) -> list[str]:
    """The paths of the identities in an answer, of either kind."""
    if isinstance(response, pb.FetchJWTSVIDsResponse):
        return [svid.id.path for svid in response.svids]
    return [each.x509_svid.id.path for each in response.x509_svids]


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return code and message of a call, or of a stream's next message, that must fail."""
    try:
        answer = await (call.read() if hasattr(call, "read") else call)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    assert answer is grpc.aio.EOF, f"it was answered with {answer}"
    return await call.code(), await call.details()


@contextlib.asynccontextmanager
async def delegate(socket: Path) -> AsyncIterator[Delegate]:
    """Connect as an ordinary grpcio client does."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield Delegate(channel)
