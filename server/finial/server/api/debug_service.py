"""The Debug service: a look at the running server."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc

from finial.api.spire.server import debug_pb2
from finial.api.spire.server.debug_pb2_grpc import DebugServicer
from finial.runtime.clock import Clock
from finial.runtime.rpc import StatusError
from finial.runtime.shown_chain import ShownCertificate, shown_chain
from finial.server.api.convert import encode_spiffe_id
from finial.spiffe.bundle import BundleSource
from finial.spiffe.errors import SpiffeError

_KEPT: Final = 5.0
"""Seconds for which an answer is given again."""


class DebugService(DebugServicer):
    """Local callers only. `counts` gives the agents, entries and bundles that are stored."""

    def __init__(
        self,
        *,
        clock: Clock,
        server_chain: Callable[[], Sequence[bytes]],
        bundles: BundleSource,
        counts: Callable[[], tuple[int, int, int]],
    ) -> None:
        self._clock = clock
        self._server_chain = server_chain
        self._bundles = bundles
        self._counts = counts
        self._started = clock.monotonic()
        self._known: tuple[float, debug_pb2.GetInfoResponse] | None = None

    def GetInfo(self, request: debug_pb2.GetInfoRequest, context: Any) -> debug_pb2.GetInfoResponse:
        now = self._clock.monotonic()
        if self._known is not None and now - self._known[0] < _KEPT:
            return self._known[1]
        agents, entries, bundles = self._counts()
        response = debug_pb2.GetInfoResponse(
            svid_chain=self._certificates(),
            uptime=int(now - self._started),
            agents_count=agents,
            entries_count=entries,
            federated_bundles_count=bundles,
        )
        self._known = (now, response)
        return response

    def _certificates(self) -> list[debug_pb2.GetInfoResponse.Cert]:
        """The server's own chain and the root that it was verified up to."""
        try:
            shown = shown_chain(self._server_chain(), self._bundles, self._clock.time())
        except SpiffeError as error:
            raise StatusError(
                grpc.StatusCode.INTERNAL, f"failed verification against bundle: {error}"
            ) from None
        return [_certificate(each) for each in shown]


def _certificate(shown: ShownCertificate) -> debug_pb2.GetInfoResponse.Cert:
    return debug_pb2.GetInfoResponse.Cert(
        id=encode_spiffe_id(shown.id) if shown.id is not None else None,
        expires_at=shown.expires_at,
        subject=shown.subject,
    )
