"""Web endpoints as the server process opens them, with an authority and clients of the test's."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from finial.runtime.observe import Observer
from finial.runtime.rpc import TlsIdentity
from finial.runtime.rpc.tls import unverified_chain
from finial.runtime.tasks import TaskGroup
from finial.server.config.oidc import Listen
from finial.server.federation.serving import WebEndpoints
from finial.server.registry.feed import BundleCache
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from finial.server.config import ServerConfig

SERVER_ID = "spiffe://example.org/spire/server"
PATIENCE = 10.0


class Got(NamedTuple):
    """What came of a request."""

    status: int
    headers: dict[str, str]
    body: bytes
    chain: tuple[bytes, ...]


class EndpointsLab:
    """The endpoints of a configuration, whatever its ports; `example.org` is theirs."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.root = FakeCa("example.org")
        self.ca = self.root.intermediate()
        self.bundles = BundleCache()
        self.bundles.put(self.root.bundle())
        self.ports: dict[str, int] = {}
        self.renew()

    def renew(self) -> None:
        """Give the server another X509-SVID."""
        svid = self.ca.issue(SERVER_ID)
        self._identity = TlsIdentity(svid.chain, svid.key_pkcs8)

    @asynccontextmanager
    async def serving(self, config: ServerConfig) -> AsyncIterator[EndpointsLab]:
        endpoints = WebEndpoints(
            any_port(config).server,
            clock=self.clock,
            observer=Observer(logging.getLogger("finial.test")),
            bundles=self.bundles,
            identity=lambda: self._identity,
        )
        opened: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            async with TaskGroup() as group:
                opened.set_result(await endpoints.open(group))

        task = asyncio.create_task(run())
        await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        self.ports = opened.result()
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def ask(
        self,
        name: str = "bundle endpoint",
        path: str = "/",
        *,
        method: str = "GET",
        host: str = "example.org",
        context: ssl.SSLContext | None = None,
        plain: bool = False,
    ) -> Got:
        """Ask what listens under a name; by TLS unless it is `plain`."""
        options: dict[str, Any] = {}
        if not plain:
            options = {"ssl": context or anyone(), "server_hostname": host}
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[name], **options)
            try:
                request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                answer = await reader.read()
                chain = () if plain else unverified_chain(writer.get_extra_info("ssl_object"))
            finally:
                writer.transport.abort()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        pairs = (field.partition(": ") for field in fields)
        headers = {name.lower(): value for name, _, value in pairs}
        return Got(int(first.split()[1]), headers, body, chain)


def anyone() -> ssl.SSLContext:
    """A client that takes every server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def any_port(config: ServerConfig) -> ServerConfig:
    """The same with ports that are free, and on loopback only."""
    here = Listen("127.0.0.1", 0)
    server = config.server
    changes: dict[str, Any] = {}
    if (endpoint := server.federation.bundle_endpoint) is not None:
        endpoint = endpoint.model_copy(update={"port": 0, "address": here.host})
        changes["federation"] = server.federation.model_copy(update={"bundle_endpoint": endpoint})
    if (discovery := server.oidc_discovery) is not None:
        inner: dict[str, Any] = {}
        if discovery.serving_cert_file is not None:
            files = discovery.serving_cert_file.model_copy(update={"addr": here})
            inner["serving_cert_file"] = files
        if discovery.insecure_addr is not None:
            inner["insecure_addr"] = here
        if discovery.health_checks is not None:
            checks = discovery.health_checks.model_copy(update={"bind_port": 0})
            inner["health_checks"] = checks
        changes["oidc_discovery"] = discovery.model_copy(update=inner)
    return replace(config, server=server.model_copy(update=changes))
