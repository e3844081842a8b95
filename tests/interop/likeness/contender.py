"""A server of either family as a process, and channels of grpcio to it for every caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from finial.api.spire.server import bundle_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from tests.interop.likeness.relay import Relay, tls_context
from tests.interop.likeness.steps import DOMAIN, KEY
from tests.interop.programs import Family, Outcome, run
from tests.interop.site import Daemon, free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from finial.api.spire import types_pb2

PATIENCE = 90.0
CONF = """
server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{folder}/s.sock"
  trust_domain = "{domain}"
  data_dir = "{folder}"
  log_level = "WARN"
  admin_ids = ["spiffe://{domain}/configured-admin"]
  ratelimit {{ attestation = false }}
  experimental {{ cache_reload_interval = "1s" }}
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{folder}/datastore.sqlite3"
    }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data {{}} }}
}}
"""


class Contender:
    """One server with nothing in it, in `folder`."""

    def __init__(self, folder: Path, family: Family) -> None:
        folder.mkdir()
        self._folder = folder
        self._family = family
        self._port = free_port()
        config = CONF.format(folder=folder, port=self._port, domain=DOMAIN)
        (folder / "server.conf").write_text(config)
        words = (*family.server, "run", "-config", str(folder / "server.conf"))
        self._daemon = Daemon(folder / "server.log", *words)
        self._roots = ""
        self._relays: list[Relay] = []
        self._channels: dict[str, grpc.Channel] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels.values():
            channel.close()
        for relay in self._relays:
            await relay.close()
        await self._daemon.clear()

    async def _start(self) -> None:
        await self._daemon.start()
        await until(self._healthy, lambda said: said.code == 0, PATIENCE)
        self._channels["local"] = grpc.insecure_channel(f"unix:{self._folder}/s.sock")
        bundle = await self.own_bundle()
        self._roots = pem(each.asn1 for each in bundle.x509_authorities)
        await self._connect("nobody", None)

    async def _healthy(self) -> Outcome:
        assert self._daemon.code is None, self._daemon.log()
        words = (*self._family.server, "healthcheck")
        return await run(*words, "-socketPath", f"{self._folder}/s.sock")

    async def own_bundle(self) -> types_pb2.Bundle:
        """The trust domain's, as of now."""
        ask = BundleStub(self.channel("local")).GetBundle
        return await asyncio.to_thread(ask, bundle_pb2.GetBundleRequest())

    def knows(self, caller: str) -> bool:
        """Whether somebody got the SVID that makes them this caller."""
        return caller in self._channels

    def channel(self, caller: str) -> grpc.Channel:
        return self._channels[caller]

    async def become(self, caller: str, chain: Sequence[bytes]) -> None:
        """Connect `caller` with an SVID for the one key."""
        key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._folder / f"{len(self._relays)}.pem"
        path.write_text(pem(chain) + key.decode())
        await self._connect(caller, path)

    async def _connect(self, caller: str, chain: Path | None) -> None:
        path = self._folder / f"{len(self._relays)}.sock"
        relay = await Relay(path, self._port, tls_context(self._roots, chain)).open()
        self._relays.append(relay)
        if caller in self._channels:
            self._channels[caller].close()
        self._channels[caller] = grpc.insecure_channel(relay.target)


def pem(ders: Iterable[bytes]) -> str:
    certificates = (x509.load_der_x509_certificate(der) for der in ders)
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)
