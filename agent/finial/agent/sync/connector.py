"""Channels to the server, which must prove to be the server of our own trust domain."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

from finial.runtime.logging import log
from finial.runtime.rpc import Channel, ClientTls, Limits
from finial.spiffe import certificate
from finial.spiffe.errors import X509SvidError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import VerifiedX509Svid, spiffe_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finial.agent.sync.trust import Trust
    from finial.runtime.clock import Clock
    from finial.runtime.rpc import TlsIdentity

logger = logging.getLogger(__name__)

# A connection that a firewall or a dead host swallows is found out by a PING; else every call
# would run into its deadline until the kernel gives the connection up, a quarter of an hour later.
MIN_KEEPALIVE = 10.0
KEEPALIVE_TIMEOUT = 5.0


class TlsConnector:
    """Connects to one address by TLS; `identity` is the agent's, None before attestation.

    A server that is well lets no more than `interval` seconds pass without a word: only after twice
    as long is it sent a PING, because SPIRE's server drops clients that do so too often.
    """

    def __init__(
        self,
        target: str,
        *,
        trust: Trust,
        identity: Callable[[], TlsIdentity | None],
        clock: Clock,
        interval: float,
    ) -> None:
        self._target = target
        self._trust = trust
        self._identity = identity
        self._clock = clock
        self._limits = Limits(
            keepalive=max(MIN_KEEPALIVE, 2 * interval), keepalive_timeout=KEEPALIVE_TIMEOUT
        )
        self._server_id = SpiffeId.of(trust.trust_domain, "/spire/server")

    def anonymous(self) -> Channel:
        """Return a channel without a client certificate."""
        if not self._trust.bundles:
            log(logger, logging.WARNING, "bootstrapping insecurely: the server is not verified")
            return self._channel(_UnverifiedTls(self._server_id, self._clock))
        return self._channel(self._tls(lambda: None))

    def identified(self) -> Channel:
        """Return a channel that presents the agent's SVID."""
        return self._channel(self._tls(self._identity))

    def _tls(self, identity: Callable[[], TlsIdentity | None]) -> ClientTls:
        return ClientTls(identity, lambda: self._trust.bundles, self._server_id, self._clock)

    def _channel(self, tls: ClientTls) -> Channel:
        return Channel(self._target, clock=self._clock, tls=tls, limits=self._limits)


class _UnverifiedTls(ClientTls):
    """`insecure_bootstrap`: any certificate that says it is the server's is taken at its word.

    Used until the first bundle is there, and never to present a certificate.
    """

    def __init__(self, server_id: SpiffeId, clock: Clock) -> None:
        super().__init__(lambda: None, lambda: (), server_id, clock, verify=_believe)

    def context(self) -> ssl.SSLContext:
        context = super().context()
        context.verify_mode = ssl.CERT_NONE
        return context


def _believe(chain: Sequence[bytes]) -> VerifiedX509Svid:
    if not chain:
        raise X509SvidError("the server presented no certificate")
    leaf = certificate.load(chain[0])
    return VerifiedX509Svid(
        id=spiffe_id_of(leaf),
        leaf=leaf,
        serial=leaf.serial_number,
        not_after=certificate.validity_of(leaf).not_after,
        root_der=b"",
    )
