"""The Debug service: a look at the running server."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
from cryptography.x509.oid import NameOID

from finial.api.spire.server import debug_pb2
from finial.api.spire.server.debug_pb2_grpc import DebugServicer
from finial.runtime.clock import Clock
from finial.runtime.rpc import StatusError
from finial.server.api.convert import encode_spiffe_id
from finial.spiffe import certificate
from finial.spiffe.bundle import BundleSource
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import verify_chain

_KEPT: Final = 5.0
"""Seconds for which an answer is given again."""

_NAMES: Final = {NameOID.SERIAL_NUMBER: "SERIALNUMBER"}


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
        chain = self._server_chain()
        try:
            verified = verify_chain(chain, self._bundles, self._clock.time())
        except SpiffeError as error:
            raise StatusError(
                grpc.StatusCode.INTERNAL, f"failed verification against bundle: {error}"
            ) from None
        return [_certificate(der) for der in (*chain, verified.root_der)]


def _certificate(der: bytes) -> debug_pb2.GetInfoResponse.Cert:
    cert = certificate.load(der)
    uris = certificate.uris_of(cert)
    return debug_pb2.GetInfoResponse.Cert(
        id=encode_spiffe_id(SpiffeId.parse(uris[0])) if len(uris) == 1 else None,
        expires_at=certificate.validity_of(cert).not_after,
        subject=cert.subject.rfc4514_string(_NAMES),
    )
