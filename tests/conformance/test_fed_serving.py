"""Rows FED-*, as far as they bind whoever serves a bundle endpoint."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from finial.runtime.config import parse_document
from finial.runtime.web.tls import server_context
from finial.server.config import ServerConfig, server_config
from finial.server.federation.certificates import CertificateError
from finial.spiffe.bundle import Bundle
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.endpoints import SERVER_ID, EndpointsLab, anyone
from tests.fakes.web_pki import WebPki, write_pair

if TYPE_CHECKING:
    from pathlib import Path

SPIFFE = 'profile "https_spiffe" {}'
PATHS = ("/x", "//", "/index.html", "/.well-known/x", "/?x")


def configured(profile: str = SPIFFE) -> ServerConfig:
    text = f"""
    server {{
      trust_domain = "example.org"
      data_dir = "/d"
      federation {{ bundle_endpoint {{ {profile} }} }}
    }}
    plugins {{
      DataStore "sql" {{
        plugin_data {{ database_type = "sqlite3", connection_string = "/d/db" }}
      }}
      NodeAttestor "join_token" {{ plugin_data {{}} }}
      KeyManager "memory" {{ plugin_data {{}} }}
    }}
    """
    return server_config(parse_document(text, "s.conf"))


def with_files(folder: Path) -> ServerConfig:
    return configured(
        f"""profile "https_web" {{
              serving_cert_file {{
                cert_file_path = "{folder}/chain.pem"
                key_file_path = "{folder}/key.pem"
                file_sync_interval = "1m"
              }}
            }}"""
    )


async def test_FED_10_weak_cipher_suites_are_refused() -> None:
    weak = anyone()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
    async with EndpointsLab().serving(configured()) as lab:
        with pytest.raises(OSError):  # an alert or a reset
            await lab.ask(context=weak)
        weak.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert (await lab.ask(context=weak)).status == 200


def test_FED_10_versions_before_tls_1_2_are_refused() -> None:
    context = server_context(WebPki().issue("bundles.test"))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_FED_16_the_certificate_names_the_endpoint(tmp_path: Path) -> None:
    pki = WebPki()
    careful = ssl.create_default_context(cafile=pki.trusted(tmp_path))
    write_pair(pki.issue("bundles.test"), tmp_path / "chain.pem", tmp_path / "key.pem")
    async with EndpointsLab().serving(with_files(tmp_path)) as lab:
        assert (await lab.ask(host="bundles.test", context=careful)).status == 200


async def test_FED_16_a_certificate_that_names_no_host_is_not_served(tmp_path: Path) -> None:
    nameless = WebPki().issue(common_name="bundles.test")
    write_pair(nameless, tmp_path / "chain.pem", tmp_path / "key.pem")
    with pytest.raises(CertificateError, match="names no host"):
        async with EndpointsLab().serving(with_files(tmp_path)):
            pass


async def test_FED_17_no_certificate_is_asked_for_and_no_password() -> None:
    async with EndpointsLab().serving(configured()) as lab:
        assert (await lab.ask()).status == 200


async def test_FED_18_the_newest_bundle_is_served() -> None:
    async with EndpointsLab().serving(configured()) as lab:
        for sequence in (2, 3):
            newest = FakeCa("example.org").bundle(sequence=sequence)
            lab.bundles.put(newest)
            served = await lab.ask()
            assert Bundle.from_jwks(newest.trust_domain, served.body) == newest


async def test_FED_19_the_body_is_utf_8_and_json() -> None:
    async with EndpointsLab().serving(configured()) as lab:
        served = await lab.ask()
    assert served.body.decode("utf-8").startswith("{")
    assert served.headers["content-type"] == "application/json"


async def test_FED_21_nothing_is_redirected_for_ever() -> None:
    async with EndpointsLab().serving(configured()) as lab:
        for path in PATHS:
            assert (await lab.ask(path=path)).status not in (301, 308)


async def test_FED_29_the_certificate_is_a_valid_svid_with_its_chain() -> None:
    async with EndpointsLab().serving(configured()) as lab:
        served = await lab.ask()
        verified = verify_chain(served.chain, lab.root.bundle(), lab.clock.time())
    assert str(verified.id) == SERVER_ID


async def test_FED_29_it_stays_valid_as_the_server_renews_it() -> None:
    async with EndpointsLab().serving(configured()) as lab:
        await lab.ask()
        await lab.clock.advance(3500)
        lab.ca.now = lab.clock.time()
        lab.renew()
        await lab.clock.advance(3500)
        served = await lab.ask()
        verify_chain(served.chain, lab.root.bundle(), lab.clock.time())
