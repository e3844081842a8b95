import os
from pathlib import Path

import pytest

from finial.runtime.config import ConfigError, parse_document
from finial.server import translation
from finial.server.config import (
    CaSubject,
    DiskKeyManager,
    MemoryKeyManager,
    RateLimit,
    ServerConfig,
    load_server_config,
    server_config,
)
from finial.server.datastore.postgres import PostgresTarget
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

PLUGINS = """
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3", connection_string = "/d/db" } }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
}
"""
LEAST = 'trust_domain = "example.org"\n data_dir = "/d"'

# As SPIRE's documentation has it people write it, with the quirks that files in the field have.
FIELD = """
server {
  bind_address = "127.0.0.1"
  bind_port = "18081"
  socket_path = "/run/s.sock"
  trust_domain = "example.org"
  data_dir = "/var/lib/s"
  log_level = "WARN"
  default_x509_svid_ttl = "1h"
  ca_ttl = "24h"
  ca_subject { country = ["DE"], organization = ["Example"], common_name = "CA" }
  admin_ids = ["spiffe://example.org/admin"]
  ratelimit { attestation = false, signing = false }
  experimental { cache_reload_interval = "1s" }
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3", connection_string = "/d/db" } }
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "disk" { plugin_data { keys_path = "/d/keys.json" } }
}
"""
TOML = """
[server]
trust_domain = "example.org"
data_dir = "/d"
signers = 3
socket_group = "spire"
socket_mode = "0660"

[plugins.DataStore.sql.plugin_data]
database_type = "sqlite3"
connection_string = "/d/db"

[plugins.KeyManager.memory]
[plugins.NodeAttestor.join_token]
"""


def config(section: str, plugins: str = PLUGINS, **overrides: str) -> ServerConfig:
    return server_config(parse_document(f"server {{ {section} }}{plugins}", "s.conf"), overrides)


def problems(section: str, plugins: str = PLUGINS, **overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(section, plugins, **overrides)
    return str(caught.value).splitlines()


def test_a_file_as_it_is_found_in_the_field_loads(tmp_path: Path) -> None:
    path = tmp_path / "server.conf"
    path.write_text(FIELD)
    loaded = load_server_config(path)
    server = loaded.server
    assert (server.bind_address, server.bind_port) == ("127.0.0.1", 18081)
    assert server.trust_domain == TrustDomain.parse("example.org")
    assert (server.data_dir, server.socket_path) == (Path("/var/lib/s"), Path("/run/s.sock"))
    assert server.ca_subject == CaSubject(
        country=("DE",), organization=("Example",), common_name="CA"
    )
    assert server.admin_ids == (SpiffeId.parse("spiffe://example.org/admin"),)
    assert server.ratelimit == RateLimit(attestation=False, signing=False)
    assert loaded.datastore.connection_string == Path("/d/db")
    assert loaded.key_manager == DiskKeyManager(keys_path=Path("/d/keys.json"))
    assert loaded.node_attestors == {"join_token": {}}
    [warning] = loaded.warnings
    assert str(warning).startswith(
        f"{path}:14:18: server.experimental.cache_reload_interval: has no effect: "
    )


def test_what_is_left_out_has_spires_defaults() -> None:
    server = config(LEAST).server
    assert (server.bind_address, server.bind_port) == ("0.0.0.0", 8081)
    assert server.socket_path == Path("/tmp/spire-server/private/api.sock")
    assert (server.ca_ttl, server.ca_key_type, server.jwt_key_type) == (86400, "ec-p256", "ec-p256")
    assert server.ca_subject == CaSubject(country=("US",), organization=("SPIFFE",))
    assert (server.default_x509_svid_ttl, server.default_jwt_svid_ttl) == (3600, 300)
    assert server.agent_ttl == 3600
    assert server.ratelimit == RateLimit(attestation=True, signing=True)
    assert (server.log_level, server.log_format, server.log_file) == ("info", "text", None)
    assert not server.disable_jwt_svids
    assert not server.audit_log_enabled
    assert config(LEAST).warnings == ()


def test_our_own_keys_have_safe_defaults() -> None:
    server = config(LEAST).server
    assert (server.socket_mode, server.socket_group) == (0o600, None)
    assert server.signers == min(64, len(os.sched_getaffinity(0)))
    assert (server.connections_per_uid, server.connections_per_address) == (5000, 10_000)
    limits = server.ratelimit
    assert (limits.attestations_per_second, limits.signatures_per_second) == (50, 500)


def test_some_defaults_follow_other_keys() -> None:
    server = config(f'{LEAST}\n ca_key_type = "rsa-4096"\n default_x509_svid_ttl = "2h"').server
    assert (server.jwt_key_type, server.agent_ttl) == ("rsa-4096", 7200)
    server = config(f'{LEAST}\n ca_key_type = "rsa-4096"\n jwt_key_type = "ec-p384"').server
    assert server.jwt_key_type == "ec-p384"


def test_toml_is_the_same_configuration(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(TOML)
    loaded = load_server_config(path)
    assert loaded.key_manager == MemoryKeyManager()
    server = loaded.server
    assert (server.signers, server.socket_group, server.socket_mode) == (3, "spire", 0o660)


def test_flags_beat_the_file() -> None:
    server = config(LEAST, bind_port="9", trust_domain="other.org", log_level="DEBUG").server
    assert (server.bind_port, str(server.trust_domain), server.log_level) == (
        9,
        "other.org",
        "debug",
    )


def test_variables_are_expanded_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server.conf"
    path.write_text(f'server {{ {LEAST}\n jwt_issuer = "${{ISSUER}}" }}{PLUGINS}')
    monkeypatch.setenv("ISSUER", "https://oidc.example.org")
    assert load_server_config(path).server.jwt_issuer == "${ISSUER}"
    assert load_server_config(path, expand_env=True).server.jwt_issuer == "https://oidc.example.org"
    monkeypatch.delenv("ISSUER")
    with pytest.raises(ConfigError, match="environment variable ISSUER is not set"):
        load_server_config(path, expand_env=True)


def test_missing_keys_are_told_in_spires_words() -> None:
    assert problems("") == [
        (
            "s.conf:1:1: server.trust_domain: trust_domain must be configured; "
            "add trust_domain to this section"
        ),
        "s.conf:1:1: server.data_dir: data_dir must be configured; add data_dir to this section",
    ]
    with pytest.raises(ConfigError, match="server section must be configured"):
        server_config(parse_document(PLUGINS, "s.conf"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('trust_domain = "Example.org"', 'could not parse trust_domain "Example.org": '),
        (
            'ca_key_type = "rsa-1024"',
            (
                'error parsing ca_key_type: key type "rsa-1024" is unknown; must be one of '
                "[rsa-2048, rsa-4096, ec-p256, ec-p384]"
            ),
        ),
        ('log_format = "xml"', 'unknown logger format: "xml"'),
        ('ca_subject { country = ["USA"] }', '"USA" is no country; use two letters'),
        (f'ca_subject {{ organization = ["{"x" * 65}"] }}', "is too long; use 64 bytes at most"),
        ("signers = 0", "must be a number of processes from 1 to 64, not 0"),
        ("connections_per_uid = 0", "must be a number from 1 to 1000000, not 0"),
        ("connections_per_address = 0", "must be a number from 1 to 1000000, not 0"),
        ("ratelimit { attestations_per_second = 0 }", "must be a number from 1 to 100000, not 0"),
        ('socket_mode = "0777"', "must open the socket to its owner and at most to its group"),
        ("federation { bundle_endpoint { acme {} } }", "is not served by Finial"),
        ('proxy_protocol_trusted_cidrs = ["10.0.0.0/8"]', "is not served by Finial"),
        ('prune_attested_nodes_expired_for = "24h"', "is not served by Finial"),
        ("prune_tofu_nodes = true", "is not served by Finial"),
        ("profiling_enabled = true", "is not served by Finial"),
        ("experimental { require_pq_kem = true }", "is not served by Finial"),
        ("experimental { agent_spiffe_id_as_selector = true }", "is not served by Finial"),
        ('experimental { feature_flags = ["x", "a"] }', "unknown feature flag(s): [a x]"),
        ('experimental { feature_flags = "wit-svid" }', "must be a list"),
        ("experimental { feature_flags = [true] }", "must be a text"),
        ('experimental { wit_key_type = "x" }', 'error parsing wit_key_type: key type "x"'),
        ('experimental { wit_issuer = "https://x.org" }', "is an https URL"),
        ('experimental { wit_issuer = "HTTPS://x.org" }', "is an https URL"),
        (
            'experimental { auth_opa_policy_engine { local { rego_path = "x" } } }',
            "is not served by Finial",
        ),
        ("defaul_x509_svid_ttl = 1", "unknown key; did you mean default_x509_svid_ttl?"),
    ],
)
def test_a_key_that_cannot_be_served_stops_the_server(line: str, problem: str) -> None:
    key = line.split(maxsplit=1)[0]
    section = LEAST if key != "trust_domain" else 'data_dir = "/d"'
    [found] = problems(f"{section}\n {line}")
    assert found.startswith(f"s.conf:{section.count(chr(10)) + 2}:")
    assert f" server.{key}" in found
    assert problem in found


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("experimental { events_based_cache = true }", "server.experimental.events_based_cache"),
        ('experimental { event_timeout = "1m" }', "server.experimental.event_timeout"),
        ('experimental { full_cache_reload_interval = "1h" }', "full_cache_reload_interval"),
        ('experimental { prune_events_older_than = "1h" }', "prune_events_older_than"),
        ('experimental { sql_transaction_timeout = "1h" }', "sql_transaction_timeout"),
        ("profiling_port = 99", "server.profiling_port"),
        ("profiling_freq = 99", "server.profiling_freq"),
        ('profiling_names = ["x"]', "server.profiling_names"),
        ("prune_attested_nodes_batch_size = 5", "server.prune_attested_nodes_batch_size"),
        ('max_attested_node_info_staleness = "5s"', "server.max_attested_node_info_staleness"),
    ],
)
def test_a_key_that_is_safe_to_leave_is_warned_of(line: str, key: str) -> None:
    [warning] = config(f"{LEAST}\n {line}").warnings
    assert warning.key.endswith(key)
    assert warning.message.startswith("has no effect: ")


@pytest.mark.parametrize(
    "line",
    [
        "profiling_enabled = false",
        "prune_tofu_nodes = false",
        "federation {}",
        "proxy_protocol_trusted_cidrs = []",
        "experimental { require_pq_kem = false, feature_flags = [] }",
    ],
)
def test_a_key_that_asks_for_what_is_done_anyway_is_fine(line: str) -> None:
    assert config(f"{LEAST}\n {line}").warnings == ()


def test_wit_svids_are_off_until_they_are_named() -> None:
    assert not config(LEAST).server.experimental.wit_enabled
    settings = config(
        f"""{LEAST}
        experimental {{
          feature_flags = ["wit-svid"]
          wit_key_type = "rsa-2048"
          wit_issuer = "spiffe://example.org"
        }}"""
    )
    assert settings.warnings == ()
    experimental = settings.server.experimental
    assert experimental.wit_enabled
    assert (experimental.wit_key_type, experimental.wit_issuer) == (
        "rsa-2048",
        "spiffe://example.org",
    )


@pytest.mark.parametrize("line", ['wit_key_type = "ec-p256"', 'wit_issuer = "x"'])
def test_settings_of_wit_svids_that_are_off_are_warned_of(line: str) -> None:
    [warning] = config(f"{LEAST}\n experimental {{ {line} }}").warnings
    assert warning.key == f"server.experimental.{line.split(maxsplit=1)[0]}"
    assert warning.message == "has no effect: WIT-SVIDs are off"


def test_lifetimes_that_an_authority_cannot_cover_are_warned_of() -> None:
    warnings = config(f'{LEAST}\n default_x509_svid_ttl = "5h"\n agent_ttl = "1h"').warnings
    assert [str(each) for each in warnings] == [
        (
            "s.conf:3:2: server.default_x509_svid_ttl: 5h0m0s is too long for a ca_ttl of 24h0m0s, "
            "and SVIDs will at times live 4h0m0s only; set it to 4h0m0s or less, or raise ca_ttl"
        )
    ]


def sql(data: str) -> str:
    return PLUGINS.replace('database_type = "sqlite3", connection_string = "/d/db"', data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            'database_type = "mysql", connection_string = "host=x"',
            'database_type: "mysql" is not served by Finial; use "sqlite3" or "postgres"',
        ),
        ('database_type = "sqlite3"', "connection_string must be configured"),
        ('database_type = "sqlite3", connection_string = ":memory:"', "must be the path of a file"),
        (
            'database_type = "sqlite3", connection_string = "f?mode=ro"',
            "must be a path without options; remove the ? and what follows",
        ),
        (
            'database_type = "sqlite3", connection_string = "f", ro_connection_string = "x"',
            "ro_connection_string: is not served by Finial",
        ),
        (
            'database_type = "sqlite3", connection_string = "f", disable_migration = true',
            "disable_migration: is not served by Finial",
        ),
    ],
)
def test_a_datastore_that_is_not_served_is_refused(data: str, problem: str) -> None:
    assert any(problem in each for each in problems(LEAST, sql(data)))


def test_a_datastore_named_as_a_file_uri_is_that_file() -> None:
    loaded = config(LEAST, sql('database_type = "sqlite3", connection_string = "file:/d/x"'))
    assert loaded.datastore.connection_string == Path("/d/x")


POSTGRES = 'database_type = "postgres", connection_string = "host=db dbname=spire password=hush"'


def test_a_postgresql_datastore_takes_spires_keys() -> None:
    loaded = config(
        LEAST,
        sql(
            f'{POSTGRES}, root_ca_path = "/r", client_cert_path = "", max_open_conns = 5, '
            'ro_connection_string = "host=replica", max_idle_conns = 2, disable_migration = false'
        ),
    )
    found = translation.database(loaded)
    assert isinstance(found, PostgresTarget)
    assert (found.name, found.readers) == ("postgres://db:5432/spire", 2)
    assert "sslrootcert=/r" in found.conninfo.reveal()
    assert "hush" not in f"{loaded!r} {found!r}"
    assert [each.key.rpartition(".")[2] for each in loaded.warnings] == [
        "ro_connection_string",
        "max_idle_conns",
    ]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ('database_type = "postgres"', "connection_string must be configured"),
        (
            'database_type = "postgres", connection_string = "host=db password=hush battery"',
            "connection_string: cannot be read; write host=",
        ),
        (f"{POSTGRES}, max_open_conns = 3", "max_open_conns: must be 4 or more, not 3"),
        (f"{POSTGRES}, disable_migration = true", "disable_migration: is not served by Finial"),
        (
            'database_type "postgres" {}, connection_string = "host=db"',
            'unknown database type: "postgres"; write database_type = "postgres"',
        ),
        (
            'database_type "aws_postgres" { region = "x" }, connection_string = "host=db"',
            '"aws_postgres" is not served by Finial; use "postgres" with a password',
        ),
        (
            'database_type "aws_mysql" { region = "x" }, connection_string = "host=db"',
            '"aws_mysql" is not served by Finial; use "sqlite3" or "postgres"',
        ),
    ],
)
def test_a_postgresql_datastore_that_is_not_served_is_refused(data: str, problem: str) -> None:
    found = problems(LEAST, sql(data))
    assert any(problem in each for each in found), found
    assert not any("hush" in each for each in found)


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        ('NodeAttestor "k8s_psat" {}', "plugins.NodeAttestor.k8s_psat: is not served by Finial"),
        ('KeyManager "aws_kms" {}', "plugins.KeyManager.aws_kms: is not served by Finial"),
        ('UpstreamAuthority "disk" {}', "plugins.UpstreamAuthority.disk: is not served by Finial"),
        ('Notifier "k8sbundle" {}', "plugins.Notifier.k8sbundle: is not served by Finial"),
        ('BundlePublisher "aws_s3" {}', "plugins.BundlePublisher.aws_s3: is not served by Finial"),
        ('CredentialComposer "uniqueid" {}', "CredentialComposer.uniqueid: is not served"),
    ],
)
def test_plugins_of_spire_that_are_not_served_are_refused(plugin: str, problem: str) -> None:
    found = problems(LEAST, PLUGINS.replace("plugins {", f"plugins {{ {plugin}"))
    assert any(problem in each for each in found)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('telemetry { Prometheus { host = "x" } }', "telemetry.Prometheus: is not served"),
        ('telemetry { Statsd = [{ address = "x" }] }', "telemetry.Statsd: is not served"),
        ("health_checks { listener_enabled = true }", "health_checks.listener_enabled: is not"),
        ("servers {}", "servers: unknown section; did you mean server?"),
        ('server "x" {}', "server.x: unknown key"),
        ("server = 1", "server: set twice"),
    ],
)
def test_sections_that_are_not_served_are_refused(section: str, problem: str) -> None:
    assert any(problem in each for each in problems(LEAST, f"{PLUGINS}\n{section}"))


def test_sections_that_ask_for_nothing_are_fine() -> None:
    idle = "telemetry { InMem {} }\nhealth_checks { listener_enabled = false, bind_port = 80 }"
    warnings = config(LEAST, f"{PLUGINS}\n{idle}").warnings
    assert [each.key for each in warnings] == ["telemetry.InMem", "health_checks.bind_port"]


SPIRE_KEYS = {
    "server": (
        "trust_domain data_dir bind_address bind_port socket_path ca_ttl ca_key_type jwt_key_type "
        "ca_subject default_x509_svid_ttl default_jwt_svid_ttl agent_ttl jwt_issuer "
        "disable_jwt_svids admin_ids audit_log_enabled log_level log_format log_file "
        "log_source_location ratelimit prune_attested_nodes_expired_for "
        "prune_attested_nodes_batch_size prune_tofu_nodes max_attested_node_info_staleness "
        "proxy_protocol_trusted_cidrs profiling_enabled profiling_port profiling_freq "
        "profiling_names federation experimental"
    ),
    "server.ca_subject": "country organization common_name",
    "server.ratelimit": "attestation signing",
    "server.experimental": (
        "cache_reload_interval events_based_cache full_cache_reload_interval "
        "prune_events_older_than event_timeout sql_transaction_timeout auth_opa_policy_engine "
        "agent_spiffe_id_as_selector require_pq_kem feature_flags wit_key_type wit_issuer"
    ),
    "telemetry": (
        "Prometheus Statsd DogStatsd M3 InMem MetricPrefix EnableTrustDomainLabel "
        "EnableHostnameLabel AllowedPrefixes BlockedPrefixes AllowedLabels BlockedLabels"
    ),
    "health_checks": "listener_enabled bind_address bind_port live_path ready_path",
    "plugins": (
        "DataStore KeyManager NodeAttestor UpstreamAuthority Notifier BundlePublisher "
        "CredentialComposer"
    ),
    "plugins.DataStore.sql.plugin_data": (
        "database_type connection_string ro_connection_string root_ca_path client_cert_path "
        "client_key_path max_open_conns max_idle_conns conn_max_lifetime disable_migration"
    ),
    "plugins.KeyManager": "memory disk aws_kms gcp_kms azure_key_vault hashicorp_vault",
    "plugins.KeyManager.disk.plugin_data": "keys_path",
    "plugins.KeyManager.disk": (
        "plugin_cmd plugin_args plugin_checksum enabled plugin_data plugin_data_file"
    ),
    "plugins.NodeAttestor": (
        "join_token x509pop sshpop k8s_psat aws_iid gcp_iit azure_imds azure_msi http_challenge "
        "tpm_devid"
    ),
    "plugins.UpstreamAuthority": "disk spire vault aws_pca awssecret gcp_cas cert-manager ejbca",
    "plugins.Notifier": "k8sbundle gcs_bundle",
    "plugins.BundlePublisher": (
        "aws_s3 azure_blob gcp_cloudstorage aws_rolesanywhere_trustanchor k8s_configmap"
    ),
    "plugins.CredentialComposer": "uniqueid",
}


@pytest.mark.parametrize("section", SPIRE_KEYS)
def test_no_key_of_spires_is_unknown(section: str) -> None:
    body = "\n".join(f'"{key}" {{}}' for key in SPIRE_KEYS[section].split())
    for name in reversed(section.split(".")):
        body = f"{name} {{ {body} }}"
    with pytest.raises(ConfigError) as caught:
        server_config(parse_document(body, "s.conf"))
    assert "unknown" not in str(caught.value)
