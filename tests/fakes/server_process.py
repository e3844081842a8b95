"""A whole server in this process, with signer processes of its own and the machine's clock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from finial.runtime.clock import SystemClock
from finial.runtime.config import parse_document
from finial.runtime.rpc import Channel, ClientTls, TlsIdentity
from finial.server.app import run
from finial.server.config import ServerConfig, server_config
from finial.spiffe.bundle import Bundle
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import X509Svid

DOMAIN = TrustDomain.parse("example.org")
SERVER_ID = SpiffeId.of(DOMAIN, "/spire/server")


def config_in(folder: Path, *, key_manager: str = "disk", experimental: str = "") -> ServerConfig:
    """SPIRE's own configuration language, for a server that lives in `folder`."""
    keys = f'keys_path = "{folder}/data/keys.json"' if key_manager == "disk" else ""
    text = f"""
    server {{
      bind_address = "127.0.0.1"
      bind_port = "0"
      socket_path = "{folder}/run/private/api.sock"
      trust_domain = "{DOMAIN}"
      data_dir = "{folder}/data"
      ratelimit {{ attestation = false, signing = false }}
      signers = 1
      experimental {{ {experimental} }}
    }}
    plugins {{
      DataStore "sql" {{
        plugin_data {{ database_type = "sqlite3", connection_string = "{folder}/data/db.sqlite3" }}
      }}
      NodeAttestor "join_token" {{ plugin_data {{}} }}
      KeyManager "{key_manager}" {{ plugin_data {{ {keys} }} }}
    }}
    """
    return server_config(parse_document(text, "server.conf"))


@dataclass(slots=True)
class RunningServer:
    """Where a server listens."""

    socket: Path
    port: int
    clock: SystemClock

    def local(self) -> Channel:
        """A connection to the admin socket."""
        return Channel(f"unix:{self.socket}", clock=self.clock)

    def connect(self, bundle: Bundle, svid: X509Svid | None = None) -> Channel:
        """A connection over TLS, as the bearer of `svid` or as nobody."""
        identity = None if svid is None else TlsIdentity(svid.chain, svid.key_pkcs8)
        tls = ClientTls(lambda: identity, lambda: (bundle,), SERVER_ID, self.clock)
        return Channel(f"127.0.0.1:{self.port}", clock=self.clock, tls=tls)


@asynccontextmanager
async def running(config: ServerConfig) -> AsyncIterator[RunningServer]:
    """The server, from the moment it listens until it has stopped; raises what stops it."""
    clock = SystemClock()
    ports: asyncio.Queue[int] = asyncio.Queue()
    server = asyncio.ensure_future(run(config, clock=clock, listening=ports.put_nowait))
    port = asyncio.ensure_future(ports.get())
    try:
        await asyncio.wait((server, port), return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            server.result()
        yield RunningServer(config.server.socket_path, port.result(), clock)
    finally:
        port.cancel()
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
