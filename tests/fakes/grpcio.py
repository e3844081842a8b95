"""grpcio as the workload's client: another implementation than ours at the other end."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import grpc

from finial.api.workload import workload_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HEADER = (("workload.spiffe.io", "true"),)
SERVICE = "/SpiffeWorkloadAPI/"
PATIENCE = 8.0
"""Seconds that a call may take, the whole of a stream as well."""

Types = tuple[Any, Any]  # request, response

STREAMS: dict[str, Types] = {
    "FetchX509SVID": (pb.X509SVIDRequest, pb.X509SVIDResponse),
    "FetchX509Bundles": (pb.X509BundlesRequest, pb.X509BundlesResponse),
    "FetchJWTBundles": (pb.JWTBundlesRequest, pb.JWTBundlesResponse),
    "FetchWITSVID": (pb.WITSVIDRequest, pb.WITSVIDResponse),
    "FetchWITBundles": (pb.WITBundlesRequest, pb.WITBundlesResponse),
}
UNARY: dict[str, Types] = {
    "FetchJWTSVID": (pb.JWTSVIDRequest, pb.JWTSVIDResponse),
    "ValidateJWTSVID": (pb.ValidateJWTSVIDRequest, pb.ValidateJWTSVIDResponse),
}
METHODS = STREAMS | UNARY


class Workload:
    """Calls any Workload API method by name; metadata as a test wishes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def stream(self, method: str, metadata: Any = HEADER, **fields: Any) -> Any:
        """Open a stream; `await stream.read()` for the next message."""
        request, response = STREAMS[method]
        call = self.channel.unary_stream(
            SERVICE + method, request.SerializeToString, response.FromString
        )
        return call(request(**fields), metadata=metadata, timeout=PATIENCE)

    async def call(self, method: str, metadata: Any = HEADER, **fields: Any) -> Any:
        """Return the answer of a unary method, or the first message of a stream."""
        if method in STREAMS:
            stream = self.stream(method, metadata, **fields)
            message = await stream.read()
            stream.cancel()
            return message
        request, response = UNARY[method]
        call = self.channel.unary_unary(
            SERVICE + method, request.SerializeToString, response.FromString
        )
        return await call(request(**fields), metadata=metadata, timeout=PATIENCE)

    async def refused(self, method: str, metadata: Any = HEADER, **fields: Any) -> tuple[Any, str]:
        """Return code and message of a call that must fail."""
        try:
            answer = await self.call(method, metadata, **fields)
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        raise AssertionError(f"{method} was answered with {answer}")


@contextlib.asynccontextmanager
async def workload(socket: Path) -> AsyncIterator[Workload]:
    """Connect as an ordinary grpcio client does: plaintext, no credentials."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield Workload(channel)
