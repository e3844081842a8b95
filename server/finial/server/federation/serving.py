"""What the server serves over HTTP: set up by the configuration, opened and run by the process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from finial.runtime.durable import make_folder
from finial.runtime.logging import log
from finial.runtime.web import Routes, WebServer, WebServerTls
from finial.server.federation.certificates import CertificateFiles
from finial.server.federation.endpoint import BundleDocument
from finial.server.federation.oidc import Discovery, OidcDocuments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finial.runtime.clock import Clock
    from finial.runtime.observe import CallObserver
    from finial.runtime.rpc import TlsIdentity
    from finial.runtime.tasks import TaskGroup
    from finial.server.config import ServerSettings
    from finial.server.config.federation import BundleEndpoint, ServingCertFile
    from finial.server.config.oidc import OidcCertFile, OidcDiscovery
    from finial.spiffe.bundle import BundleSource

logger = logging.getLogger(__name__)

_SOCKET_MODE = 0o666
_FOLDER_MODE = 0o755
"""What is served there is for everybody; a proxy runs as whoever it likes."""


class WebEndpoints:
    """The bundle endpoint and OIDC discovery, each where the configuration has it.

    Args:
        settings: the `server` section.
        clock: bounds connections.
        observer: is told of every request.
        bundles: has the trust domain's own bundle.
        identity: the server's X509-SVID as it is now.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        clock: Clock,
        observer: CallObserver,
        bundles: BundleSource,
        identity: Callable[[], TlsIdentity],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._bundles = bundles
        self._identity = identity

    async def open(self, group: TaskGroup) -> dict[str, int]:
        """Listen, and serve as tasks of the group; returns the TCP ports by what is served there.

        Raises:
            OSError: an address is in use, or not ours; certificate files cannot be served.
        """
        ports: dict[str, int] = {}
        if (endpoint := self._settings.federation.bundle_endpoint) is not None:
            ports |= await self._open_bundle_endpoint(endpoint, group)
        if (discovery := self._settings.oidc_discovery) is not None:
            ports |= await self._open_discovery(discovery, group)
        return ports

    async def _open_bundle_endpoint(
        self, endpoint: BundleEndpoint, group: TaskGroup
    ) -> dict[str, int]:
        document = BundleDocument(
            self._settings.trust_domain, self._bundles, int(endpoint.refresh_hint)
        )
        name = "bundle endpoint"
        files = endpoint.web_files
        identity = self._identity if files is None else await self._files(files, name, group)
        server = self._start(document.routes(), name, group)
        port = await server.listen_tcp(endpoint.address, endpoint.port, WebServerTls(identity))
        return _told({name: port})

    async def _open_discovery(self, discovery: OidcDiscovery, group: TaskGroup) -> dict[str, int]:
        documents = OidcDocuments(
            self._settings.trust_domain, self._bundles, _documents_of(discovery)
        )
        name = "oidc discovery"
        server = self._start(documents.routes(), name, group)
        ports: dict[str, int] = {}
        if (files := discovery.serving_cert_file) is not None:
            tls = WebServerTls(await self._files(files, name, group))
            ports[name] = await server.listen_tcp(*files.addr, tls)
        if (where := discovery.insecure_addr) is not None:
            ports[f"{name}, insecure"] = await server.listen_tcp(*where, None)
        if (path := discovery.listen_socket_path) is not None:
            await _listen_unix(server, path)
        if (checks := discovery.health_checks) is not None:
            probes = documents.probes(checks.live_path, checks.ready_path)
            prober = self._start(probes, f"{name} health", group)
            ports[prober.name] = await prober.listen_tcp("", checks.bind_port, None)
        return _told(ports)

    async def _files(
        self, files: ServingCertFile | OidcCertFile, name: str, group: TaskGroup
    ) -> Callable[[], TlsIdentity]:
        held = CertificateFiles(
            files.cert_file_path,
            files.key_file_path,
            interval=files.file_sync_interval,
            clock=self._clock,
        )
        await held.start()
        group.start(f"{name} certificate", held.run())
        return held.identity

    def _start(self, routes: Routes, name: str, group: TaskGroup) -> WebServer:
        """A server that drains with the group, wherever it comes to listen."""
        server = WebServer(routes, clock=self._clock, observer=self._observer, name=name)
        group.start(name, server.serve())
        return server


def _told(ports: dict[str, int]) -> dict[str, int]:
    for name, port in ports.items():
        log(logger, logging.INFO, "serving", what=name, port=port)
    return ports


async def _listen_unix(server: WebServer, path: Path) -> None:
    make_folder(path.parent, _FOLDER_MODE)
    await server.listen_unix(path, mode=_SOCKET_MODE)


def _documents_of(section: OidcDiscovery) -> Discovery:
    return Discovery(
        domains=frozenset(section.domains),
        jwt_issuer=section.jwt_issuer,
        jwks_uri=section.jwks_uri,
        path_prefix=section.server_path_prefix,
        set_key_use=section.set_key_use,
        allow_insecure_scheme=section.allow_insecure_scheme,
    )
