"""The `server` section: SPIRE's keys, and the few of our own."""

import os
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from finial.runtime.config.errors import FieldError
from finial.runtime.config.fields import (
    BindAddress,
    BindPort,
    Duration,
    FilePath,
    FilledText,
    Flag,
    PositiveDuration,
    SocketMode,
    SpiffeIdText,
    Text,
    TrustDomainName,
    features,
    key_type,
    whole_number,
)
from finial.runtime.config.schema import Section, Unserved
from finial.runtime.config.sections import OFF, LoggedSection
from finial.server.config.federation import Federation
from finial.server.config.oidc import OidcDiscovery

KEY_TYPES = ("rsa-2048", "rsa-4096", "ec-p256", "ec-p384")
HOUR = 3600.0


def _cores() -> int:
    return min(64, len(os.sched_getaffinity(0)))


class CaSubject(Section):
    """The distinguished name of X.509 authorities."""

    country: tuple[Text, ...] = ()
    organization: tuple[Text, ...] = ()
    common_name: Text = ""

    @field_validator("country")
    @classmethod
    def _two_letters(cls, countries: tuple[str, ...]) -> tuple[str, ...]:
        for country in countries:
            if len(country) != 2 or not country.isascii():
                raise FieldError(f'"{country}" is no country', "use two letters, as US")
        return countries

    @field_validator("organization", "common_name")
    @classmethod
    def _short_enough(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """RFC 5280 appendix A.1: ub-organization-name and ub-common-name."""
        for name in (value,) if isinstance(value, str) else value:
            if len(name.encode()) > 64:
                raise FieldError(f'"{name}" is too long', "use 64 bytes at most")
        return value


class RateLimit(Section):
    """Which calls are limited for each caller; the rates, calls a second, are ours to add."""

    attestation: Flag = True
    signing: Flag = True
    attestations_per_second: Annotated[int, whole_number(1, 100_000)] = 50
    signatures_per_second: Annotated[int, whole_number(1, 100_000)] = 500


WIT_SVID = "wit-svid"
_KEPT_CURRENT = "the entry index is kept current by every change, and needs no reload"


class ServerExperimental(Section):
    """SPIRE's experimental keys; those about its caches have nothing to act on here.

    WIT-SVIDs are off unless named in `feature_flags`: some consumers of other trust domains refuse
    a whole bundle for the keys of WIT-SVIDs in it.
    """

    no_effect: ClassVar = {
        "cache_reload_interval": _KEPT_CURRENT,
        "events_based_cache": _KEPT_CURRENT,
        "full_cache_reload_interval": _KEPT_CURRENT,
        "prune_events_older_than": _KEPT_CURRENT,
        "event_timeout": _KEPT_CURRENT,
        "sql_transaction_timeout": _KEPT_CURRENT,
    }
    unserved: ClassVar = {
        "auth_opa_policy_engine": Unserved("remove it; the built-in policy is SPIRE's default"),
        "agent_spiffe_id_as_selector": Unserved("list parent IDs in the entries instead", OFF),
        "require_pq_kem": Unserved("remove it, or keep this server on SPIRE", OFF),
    }

    cache_reload_interval: Duration | None = None
    events_based_cache: Flag | None = None
    full_cache_reload_interval: Duration | None = None
    prune_events_older_than: Duration | None = None
    event_timeout: Duration | None = None
    sql_transaction_timeout: Duration | None = None
    feature_flags: Annotated[tuple[str, ...], features(WIT_SVID)] = ()
    wit_key_type: Annotated[str, key_type("wit_key_type", *KEY_TYPES)] | None = None
    wit_issuer: Text = ""

    @field_validator("wit_issuer")
    @classmethod
    def _no_discovery(cls, issuer: str) -> str:
        """WIT-SVID section 3.7: the issuer is not to be one for OpenID Connect Discovery."""
        if issuer.lower().startswith("https:"):
            raise FieldError(
                "is an https URL, with which WIT-SVIDs would be taken for ID tokens",
                "name the trust domain's ID instead, or remove it",
            )
        return issuer

    @property
    def wit_enabled(self) -> bool:
        """Whether WIT-SVIDs are issued."""
        return WIT_SVID in self.feature_flags


class ServerSettings(LoggedSection):
    """The section, every default filled in. Durations are seconds."""

    unserved: ClassVar = {
        **LoggedSection.unserved,
        "proxy_protocol_trusted_cidrs": Unserved(
            "let clients connect directly, or balance below TCP", ([],)
        ),
        "prune_attested_nodes_expired_for": Unserved("remove it, and evict agents by command"),
        "prune_tofu_nodes": Unserved("remove it, and evict agents by command", OFF),
    }
    no_effect: ClassVar = {
        **LoggedSection.no_effect,
        "prune_attested_nodes_batch_size": "expired agents are not pruned",
        "max_attested_node_info_staleness": "what is known of an agent is never stale",
    }

    bind_address: BindAddress = "0.0.0.0"  # noqa: S104 - agents come from everywhere
    bind_port: BindPort = 8081
    socket_path: FilePath = Path("/tmp/spire-server/private/api.sock")  # noqa: S108 - SPIRE's
    trust_domain: TrustDomainName
    data_dir: FilePath
    admin_ids: tuple[SpiffeIdText, ...] = ()
    audit_log_enabled: Flag = False
    ratelimit: RateLimit = RateLimit()
    experimental: ServerExperimental = ServerExperimental()
    federation: Federation = Federation()
    oidc_discovery: OidcDiscovery | None = None
    max_attested_node_info_staleness: Duration | None = None

    ca_ttl: PositiveDuration = 24 * HOUR
    ca_key_type: Annotated[str, key_type("ca_key_type", *KEY_TYPES)] = "ec-p256"
    ca_subject: CaSubject = CaSubject(country=("US",), organization=("SPIFFE",))
    default_x509_svid_ttl: PositiveDuration = HOUR
    default_jwt_svid_ttl: PositiveDuration = 300.0
    agent_ttl: PositiveDuration = Field(
        default_factory=lambda known: float(known["default_x509_svid_ttl"])
    )
    jwt_key_type: Annotated[str, key_type("jwt_key_type", *KEY_TYPES)] = Field(
        default_factory=lambda known: str(known["ca_key_type"])
    )
    jwt_issuer: Text = ""
    disable_jwt_svids: Flag = False

    # Ours.
    signers: Annotated[int, whole_number(1, 64, "a number of processes")] = Field(
        default_factory=_cores
    )
    connections_per_address: Annotated[int, whole_number(1, 1_000_000)] = 10_000
    connections_per_uid: Annotated[int, whole_number(1, 1_000_000)] = 5_000
    downstream_authorities: Flag = True
    socket_group: FilledText | None = None
    socket_mode: SocketMode = 0o600

    def guaranteed_ttl(self) -> float:
        """The longest SVID, in seconds, that an authority about to be replaced still covers."""
        return min(self.ca_ttl / 6, 7 * 24 * HOUR)
