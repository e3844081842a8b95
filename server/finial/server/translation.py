"""The operator's configuration in the words of the parts that it sets up."""

from __future__ import annotations

import grp
from typing import TYPE_CHECKING

from finial.attestors.node.catalog import node_attestor_server
from finial.server.api.ratelimit import RateLimitSettings
from finial.server.authority import AuthoritySettings
from finial.server.config import DiskKeyManager, ServerConfig, ServerSettings, SqliteDataStore
from finial.server.issuance import Lifetimes
from finial.server.signer.model import CaSubject, KeyType, SignerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from finial.attestors.node.interface import NodeAttestorServer, ServerHost
    from finial.server.datastore.postgres import PostgresTarget


class SetUpError(OSError):
    """The configuration asks for something that this machine doesn't have."""


def signer_settings(config: ServerConfig) -> SignerSettings:
    """How signers are started; no document outlives a whole authority's life."""
    settings, keys = config.server, config.key_manager
    longest = int(settings.ca_ttl)
    return SignerSettings(
        trust_domain=settings.trust_domain,
        keys_path=keys.keys_path if isinstance(keys, DiskKeyManager) else None,
        processes=settings.signers,
        max_x509_ttl=longest,
        max_jwt_ttl=longest,
        max_authority_ttl=longest,
        jwt_issuer=settings.jwt_issuer,
        wit_issuer=settings.experimental.wit_issuer,
        ca_subject=CaSubject(
            country=settings.ca_subject.country,
            organization=settings.ca_subject.organization,
            common_name=settings.ca_subject.common_name,
        ),
        downstream_authorities=settings.downstream_authorities,
    )


def authority_settings(settings: ServerSettings) -> AuthoritySettings:
    """How authorities are made."""
    return AuthoritySettings(
        ttl=int(settings.ca_ttl),
        x509_key_type=KeyType(settings.ca_key_type),
        jwt_key_type=KeyType(settings.jwt_key_type),
        wit_key_type=_wit_key_type(settings),
    )


def _wit_key_type(settings: ServerSettings) -> KeyType | None:
    experimental = settings.experimental
    if not experimental.wit_enabled:
        return None
    return KeyType(experimental.wit_key_type or settings.ca_key_type)


def lifetimes(settings: ServerSettings) -> Lifetimes:
    """How long documents live."""
    return Lifetimes(
        x509=int(settings.default_x509_svid_ttl),
        jwt=int(settings.default_jwt_svid_ttl),
        agent=int(settings.agent_ttl),
        longest_x509=int(settings.ca_ttl),
        longest_jwt=int(settings.ca_ttl),
        guaranteed=int(settings.guaranteed_ttl()),
        authority=int(settings.ca_ttl),
    )


def database(config: ServerConfig) -> Path | PostgresTarget:
    """Which database to open, as `Database.open` takes it."""
    settings = config.datastore
    if isinstance(settings, SqliteDataStore):
        return settings.connection_string
    # Its driver is for those who need it.
    from finial.server.datastore.postgres import PostgresTarget  # noqa: PLC0415

    return PostgresTarget.of(
        settings.connection_string.reveal(),
        max_connections=settings.max_open_conns,
        root_ca=settings.root_ca_path,
        client_cert=settings.client_cert_path,
        client_key=settings.client_key_path,
    )


def rate_limits(settings: ServerSettings) -> RateLimitSettings:
    """Which calls are limited, and to how many."""
    limits = settings.ratelimit
    return RateLimitSettings(
        attestation=limits.attestation,
        signing=limits.signing,
        attestations_per_second=limits.attestations_per_second,
        signatures_per_second=limits.signatures_per_second,
    )


def attestors(config: ServerConfig, host: ServerHost) -> Mapping[str, NodeAttestorServer]:
    """The judging halves of the node attestors, by type."""
    return {
        name: node_attestor_server(name, host, settings)
        for name, settings in config.node_attestors.items()
    }


def socket_group(settings: ServerSettings) -> int | None:
    """The group that the admin socket is given to, None for the process's own.

    Raises:
        SetUpError: there is no such group.
    """
    name = settings.socket_group
    if name is None:
        return None
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SetUpError(
            f"socket_group {name!r} is not a group of this machine: create it, or name another"
        ) from None
