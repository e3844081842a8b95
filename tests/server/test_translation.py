"""The operator's configuration in the words of the parts."""

import grp
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finial.attestors.node.interface import ServerHost
from finial.server import translation
from finial.server.api.ratelimit import Limited
from finial.server.authority import AuthoritySettings
from finial.server.config import ServerConfig
from finial.server.config.settings import RateLimit
from finial.server.signer.model import KeyType
from tests.fakes.clock import FakeClock
from tests.fakes.server_process import DOMAIN, config_in


def changed(folder: Path, **settings: Any) -> ServerConfig:
    config = config_in(folder)
    return replace(config, server=config.server.model_copy(update=settings))


def test_no_document_outlives_an_authority(tmp_path: Path) -> None:
    config = changed(tmp_path, ca_ttl=7200.0, default_x509_svid_ttl=60.0)
    signers = translation.signer_settings(config)
    lives = translation.lifetimes(config.server)
    assert (signers.max_x509_ttl, signers.max_jwt_ttl, signers.max_authority_ttl) == (7200,) * 3
    assert (lives.longest_x509, lives.longest_jwt, lives.x509) == (7200, 7200, 60)
    assert translation.authority_settings(config.server).ttl == 7200


def test_signers_know_whether_there_are_downstream_servers(tmp_path: Path) -> None:
    assert translation.signer_settings(config_in(tmp_path)).downstream_authorities
    off = changed(tmp_path, downstream_authorities=False)
    settings = translation.signer_settings(off)
    assert not settings.downstream_authorities
    assert not settings.to_message().policy.downstream_authorities


def test_what_every_authority_covers_is_a_sixth_of_its_life(tmp_path: Path) -> None:
    lives = translation.lifetimes(changed(tmp_path, ca_ttl=7200.0).server)
    assert (lives.guaranteed, lives.authority) == (1200, 7200)


def test_keys_stay_in_memory_unless_a_file_is_configured(tmp_path: Path) -> None:
    on_disk = translation.signer_settings(config_in(tmp_path))
    assert on_disk.keys_path == tmp_path / "data/keys.json"
    in_memory = translation.signer_settings(config_in(tmp_path, key_manager="memory"))
    assert in_memory.keys_path is None


def test_key_types_are_those_of_the_configuration(tmp_path: Path) -> None:
    config = changed(tmp_path, ca_key_type="rsa-2048", jwt_key_type="ec-p384")
    settings = translation.authority_settings(config.server)
    assert settings.x509_key_type is KeyType.RSA_2048
    assert settings.jwt_key_type is KeyType.EC_P384


def test_wit_svids_have_a_key_type_only_where_they_are_on(tmp_path: Path) -> None:
    def settings(experimental: str) -> AuthoritySettings:
        config = config_in(tmp_path, experimental=experimental)
        named = config.server.model_copy(update={"ca_key_type": "ec-p384"})
        return translation.authority_settings(named)

    on = 'feature_flags = ["wit-svid"]'
    assert settings("").wit_key_type is None
    assert settings('wit_key_type = "rsa-4096"').wit_key_type is None
    assert settings(on).wit_key_type is KeyType.EC_P384
    assert settings(f'{on}, wit_key_type = "rsa-4096"').wit_key_type is KeyType.RSA_4096


def test_the_signers_know_the_issuer_of_wit_svids(tmp_path: Path) -> None:
    config = config_in(tmp_path, experimental='wit_issuer = "spiffe://example.org"')
    assert translation.signer_settings(config).to_message().policy.wit_issuer == DOMAIN.id.uri


def test_the_configured_attestors_are_made(tmp_path: Path) -> None:
    host = ServerHost(DOMAIN, FakeClock(), join_tokens=None)  # type: ignore[arg-type]
    assert set(translation.attestors(config_in(tmp_path), host)) == {"join_token"}


def test_the_sockets_group_is_found_by_name_or_number(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid())
    for name in (group.gr_name, str(group.gr_gid)):
        settings = changed(tmp_path, socket_group=name).server
        assert translation.socket_group(settings) == group.gr_gid
    assert translation.socket_group(config_in(tmp_path).server) is None
    with pytest.raises(translation.SetUpError, match="create it, or name another"):
        translation.socket_group(changed(tmp_path, socket_group="no such group").server)


def test_rates_are_those_of_the_configuration(tmp_path: Path) -> None:
    limits = RateLimit(signing=False, attestations_per_second=7, signatures_per_second=9)
    settings = translation.rate_limits(changed(tmp_path, ratelimit=limits).server)
    assert settings.rates()[Limited.ATTESTATION] == 7
    assert Limited.X509_SIGNING not in settings.rates()
    limits = RateLimit(signing=True, attestation=False, signatures_per_second=9)
    settings = translation.rate_limits(changed(tmp_path, ratelimit=limits).server)
    assert settings.rates()[Limited.X509_SIGNING] == 9
    assert Limited.ATTESTATION not in settings.rates()
