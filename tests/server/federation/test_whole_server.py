"""The endpoints of a whole server process: opened, fetched from, drained."""

import json
import socket
from dataclasses import replace
from pathlib import Path

import jwt
import pytest

from finial.api.spire.server.bundle_pb2 import GetBundleRequest
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.svid_pb2 import MintJWTSVIDRequest
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.api.spire.types_pb2 import SPIFFEID
from finial.runtime.config import parse_document
from finial.server.config import ServerConfig, server_config
from finial.server.federation.addresses import AddressPolicy
from finial.server.federation.fetcher import BundleFetcher
from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.federation import Relationship
from tests.fakes.endpoints import EndpointsLab
from tests.fakes.federation_lab import LOOPBACK
from tests.fakes.server_process import DOMAIN, RunningServer, config_in, running
from tests.fakes.web_peer import FakeResolver

HOST = "oidc.example.org"
WELL_KNOWN = "/.well-known/openid-configuration"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def with_endpoints(folder: Path, bundle_port: int, oidc_port: int) -> ServerConfig:
    base = config_in(folder)
    sections = f"""
    server {{
      trust_domain = "example.org"
      data_dir = "/d"
      federation {{
        bundle_endpoint {{
          address = "127.0.0.1"
          port = {bundle_port}
          refresh_hint = "2m"
          profile "https_spiffe" {{}}
        }}
      }}
      oidc_discovery {{ domains = ["{HOST}"], insecure_addr = "127.0.0.1:{oidc_port}" }}
    }}
    plugins {{
      DataStore "sql" {{
        plugin_data {{ database_type = "sqlite3", connection_string = "/d/db" }}
      }}
      NodeAttestor "join_token" {{ plugin_data {{}} }}
      KeyManager "memory" {{ plugin_data {{}} }}
    }}
    """
    wanted = server_config(parse_document(sections, "s.conf")).server
    changes = {
        "federation": wanted.federation,
        "oidc_discovery": wanted.oidc_discovery,
        "jwt_issuer": f"https://{HOST}",
    }
    return replace(base, server=base.server.model_copy(update=changes))


async def known(server: RunningServer) -> Bundle:
    async with server.local() as channel:
        got = await BundleStub(channel).GetBundle(GetBundleRequest())
    authorities = tuple(X509Authority.from_der(each.asn1) for each in got.x509_authorities)
    return Bundle(DOMAIN, authorities)


async def test_a_federated_server_fetches_the_bundle_and_authenticates_us(tmp_path: Path) -> None:
    port = free_port()
    async with running(with_endpoints(tmp_path, port, free_port())) as server:
        ours = await known(server)
        relationship = Relationship.parse(
            trust_domain=DOMAIN.name,
            url=f"https://bundles.example.org:{port}/",
            profile="https_spiffe",
            endpoint_id="spiffe://example.org/spire/server",
        )
        fetcher = BundleFetcher(
            clock=server.clock,
            addresses=AddressPolicy.of(["127.0.0.1"], []),
            resolver=FakeResolver([LOOPBACK]),
        )
        fetched = (await fetcher.fetch(relationship, ours)).bundle
        assert fetched.x509_authorities == ours.x509_authorities
        assert fetched.refresh_hint == 120
        assert len(fetched.jwt_authorities) >= 1
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


async def test_a_minted_token_validates_by_what_the_server_itself_publishes(
    tmp_path: Path,
) -> None:
    port = free_port()
    lab = EndpointsLab()
    lab.ports = {"oidc": port}
    async with running(with_endpoints(tmp_path, free_port(), port)) as server:
        async with server.local() as channel:
            request = MintJWTSVIDRequest(
                id=SPIFFEID(trust_domain=DOMAIN.name, path="/x"), audience=["aud"]
            )
            token = (await SVIDStub(channel).MintJWTSVID(request)).svid.token
        document = json.loads((await lab.ask("oidc", WELL_KNOWN, host=HOST, plain=True)).body)
        path = document["jwks_uri"].removeprefix(f"https://{HOST}")
        keys = json.loads((await lab.ask("oidc", path, host=HOST, plain=True)).body)
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token,
        key,
        algorithms=document["id_token_signing_alg_values_supported"],
        audience="aud",
        issuer=document["issuer"],
    )
    assert claims["sub"] == "spiffe://example.org/x"


async def test_a_port_in_use_stops_the_server_and_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"):
            async with running(with_endpoints(tmp_path, port, free_port())):
                pass
