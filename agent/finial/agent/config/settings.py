"""The `agent` section: SPIRE's keys."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from finial.runtime.config.fields import (
    Duration,
    FilePath,
    FilledText,
    Flag,
    Port,
    PositiveDuration,
    SecretText,
    SpiffeIdText,
    TrustDomainName,
    features,
    key_type,
    one_of,
    whole,
    whole_number,
)
from finial.runtime.config.schema import Section, Unserved
from finial.runtime.config.sections import OFF, LoggedSection

DEFAULT_CACHE_SIZE = 1000
WIT_SVID = "wit-svid"
NO_SDS = "Envoy SDS is not served"


def _cache_size(value: Any) -> int:
    return whole(value, 0, 10_000_000, "a size") or DEFAULT_CACHE_SIZE  # as SPIRE reads zero


CacheSize = Annotated[int, BeforeValidator(_cache_size)]
# SPIRE takes an empty path for none.
AdminSocketPath = Annotated[FilePath | None, BeforeValidator(lambda path: path or None)]


class Sds(Section):
    """SPIRE's names for what Envoy asks for."""

    default_svid_name: FilledText = "default"
    default_bundle_name: FilledText = "ROOTCA"
    default_all_bundles_name: FilledText = "ALL"
    disable_spiffe_cert_validation: Flag = False


class AgentRateLimit(Section):
    """SPIRE's limits for each set of selectors; 0 sets none."""

    unserved: ClassVar = {
        name: Unserved("set it to 0, or keep this agent on SPIRE", (0, "0"))
        for name in (
            "fetch_x509_svid",
            "fetch_jwt_svid",
            "fetch_x509_bundles",
            "fetch_jwt_bundles",
            "stream_secrets",
            "fetch_secrets",
        )
    }


class AgentExperimental(Section):
    """SPIRE's experimental keys. WIT-SVIDs are served only when named in `feature_flags`."""

    unserved: ClassVar = {
        "require_pq_kem": Unserved("remove it, or keep this agent on SPIRE", OFF),
        "broker": Unserved("remove it, or keep this agent on SPIRE", ({},)),
    }
    no_effect: ClassVar = {
        "use_sync_authorized_entries": "the agent uses what the server offers",
        "jwt_svid_cache_hit_timeout": "a valid JWT-SVID in the cache is answered within 2 s",
    }

    sync_interval: PositiveDuration = 5.0
    jwt_svid_cache_hit_timeout: Duration | None = None
    ratelimit: AgentRateLimit = AgentRateLimit()
    feature_flags: Annotated[tuple[str, ...], features(WIT_SVID)] = ()

    @property
    def wit_enabled(self) -> bool:
        """Whether WIT-SVIDs are served, if the server issues them."""
        return WIT_SVID in self.feature_flags


_BOOTSTRAP = "fetch the bundle to a file, and name it in trust_bundle_path"


class AgentSettings(LoggedSection):
    """The section, every default filled in. Durations are seconds."""

    unserved: ClassVar = {
        **LoggedSection.unserved,
        "trust_bundle_url": Unserved(_BOOTSTRAP, ("",)),
        "trust_bundle_spiffe_workload_api": Unserved(_BOOTSTRAP, ("",)),
        "trust_bundle_unix_socket": Unserved(_BOOTSTRAP, ("",)),
        "rebootstrap_mode": Unserved('set it to "never", or remove it', ("never", "")),
        "availability_target": Unserved("remove it; SVIDs are renewed at half life", ("",)),
    }
    no_effect: ClassVar = {
        **LoggedSection.no_effect,
        "rebootstrap_delay": "the agent does not bootstrap again by itself",
        "log_selectors": "selectors are not logged",
        "sds": NO_SDS,
        "disable_sds_api": NO_SDS,
    }

    server_address: FilledText
    server_port: Port
    trust_domain: TrustDomainName
    trust_bundle_path: FilePath | None = None
    trust_bundle_format: Annotated[str, one_of("pem", "spiffe")] = "pem"
    insecure_bootstrap: Flag = False
    data_dir: FilePath = Path()
    socket_path: FilePath = Path("/tmp/spire-agent/public/api.sock")  # noqa: S108 - SPIRE's
    admin_socket_path: AdminSocketPath = None
    authorized_delegates: tuple[SpiffeIdText, ...] = ()
    join_token: SecretText | None = None
    join_token_file: FilePath | None = None
    workload_x509_svid_key_type: Annotated[
        str, key_type("workload_x509_svid_key_type", "rsa-2048", "ec-p256", "ec-p384")
    ] = "ec-p256"
    x509_svid_cache_max_size: CacheSize = DEFAULT_CACHE_SIZE
    jwt_svid_cache_max_size: CacheSize = DEFAULT_CACHE_SIZE
    allow_unauthenticated_verifiers: Flag = False
    allowed_foreign_jwt_claims: tuple[str, ...] = ()
    disable_workload_api: Flag = False
    disable_sds_api: Flag = False
    sds: Sds = Sds()
    rebootstrap_delay: Duration | None = None
    experimental: AgentExperimental = AgentExperimental()

    # Ours.
    connections_per_uid: Annotated[int, whole_number(1, 1_000_000)] = 5_000
