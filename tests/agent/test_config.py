import subprocess
import sys
from pathlib import Path

import pytest

from finial.agent.config import (
    AgentConfig,
    DiskKeyManager,
    MemoryKeyManager,
    agent_config,
    load_agent_config,
)
from finial.runtime.config import ConfigError, parse_document
from finial.runtime.secret import Secret

PLUGINS = """
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
"""
ADDRESS = 'server_address = "127.0.0.1"\n server_port = 8081\n trust_domain = "example.org"'
LEAST = f'{ADDRESS}\n trust_bundle_path = "/b.pem"'
FIELD = """
agent {
  data_dir = "/var/lib/a"
  log_level = "WARN"
  server_address = "127.0.0.1"
  server_port = "18081"
  socket_path = "/run/agent.sock"
  trust_bundle_path = "/b.pem"
  trust_domain = "example.org"
  experimental { sync_interval = "1s" }
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "disk" { plugin_data { directory = "/var/lib/a" } }
  WorkloadAttestor "unix" { plugin_data { discover_workload_path = true } }
}
"""


def config(section: str, plugins: str = PLUGINS, **overrides: str) -> AgentConfig:
    return agent_config(parse_document(f"agent {{ {section} }}{plugins}", "a.conf"), overrides)


def problems(section: str, plugins: str = PLUGINS, **overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(section, plugins, **overrides)
    return str(caught.value).splitlines()


def test_a_file_as_it_is_found_in_the_field_loads(tmp_path: Path) -> None:
    path = tmp_path / "agent.conf"
    path.write_text(FIELD)
    loaded = load_agent_config(path, {"join_token": "s3cret"})
    agent = loaded.agent
    assert (agent.server_address, agent.server_port) == ("127.0.0.1", 18081)
    assert str(agent.trust_domain) == "example.org"
    assert (agent.data_dir, agent.socket_path) == (Path("/var/lib/a"), Path("/run/agent.sock"))
    assert (agent.trust_bundle_path, agent.trust_bundle_format) == (Path("/b.pem"), "pem")
    assert agent.experimental.sync_interval == 1
    assert agent.log_level == "warn"
    assert loaded.key_manager == DiskKeyManager(directory=Path("/var/lib/a"))
    assert (loaded.node_attestor, loaded.node_attestor_settings) == ("join_token", {})
    assert loaded.workload_attestors == {
        "unix": {"discover_workload_path": True, "workload_size_limit": 0}
    }
    assert loaded.join_token == Secret("s3cret")
    assert loaded.warnings == ()
    assert "s3cret" not in repr(loaded)


def test_what_is_left_out_has_spires_defaults() -> None:
    loaded = config(LEAST)
    agent = loaded.agent
    assert agent.data_dir == Path()
    assert agent.socket_path == Path("/tmp/spire-agent/public/api.sock")
    assert agent.admin_socket_path is None
    assert agent.workload_x509_svid_key_type == "ec-p256"
    assert (agent.x509_svid_cache_max_size, agent.jwt_svid_cache_max_size) == (1000, 1000)
    assert agent.experimental.sync_interval == 5
    assert (agent.sds.default_bundle_name, agent.sds.default_all_bundles_name) == ("ROOTCA", "ALL")
    assert loaded.join_token is None
    assert loaded.key_manager == MemoryKeyManager()


def test_the_admin_socket_and_its_delegates_are_named() -> None:
    lines = (
        'admin_socket_path = "/run/admin/admin.sock"\n'
        'authorized_delegates = ["spiffe://example.org/proxy", "spiffe://example.org/mesh"]'
    )
    loaded = config(f"{LEAST}\n {lines}")
    assert loaded.agent.admin_socket_path == Path("/run/admin/admin.sock")
    assert [each.path for each in loaded.agent.authorized_delegates] == ["/proxy", "/mesh"]
    assert loaded.warnings == ()


def test_an_empty_path_is_no_admin_socket() -> None:
    assert config(f'{LEAST}\n admin_socket_path = ""').agent.admin_socket_path is None


def test_without_apis_for_workloads_the_admin_socket_may_be_anywhere() -> None:
    off = "disable_workload_api = true\n disable_sds_api = true"
    path = "/tmp/spire-agent/public/admin.sock"
    loaded = config(f'{LEAST}\n {off}\n admin_socket_path = "{path}"')
    assert loaded.agent.admin_socket_path == Path(path)


def test_wit_svids_are_off_until_they_are_named() -> None:
    assert not config(LEAST).agent.experimental.wit_enabled
    named = config(f'{LEAST}\n experimental {{ feature_flags = ["wit-svid"] }}')
    assert named.warnings == ()
    assert named.agent.experimental.wit_enabled


def test_a_cache_size_of_zero_is_the_default() -> None:
    agent = config(f"{LEAST}\n x509_svid_cache_max_size = 0\n jwt_svid_cache_max_size = 7").agent
    assert (agent.x509_svid_cache_max_size, agent.jwt_svid_cache_max_size) == (1000, 7)
    [found] = problems(f"{LEAST}\n x509_svid_cache_max_size = -1")
    assert "must be a size from 0" in found


def test_missing_keys_are_told_in_spires_words_and_order() -> None:
    found = [each.split(": ")[2].split(";")[0] for each in problems("")]
    assert found[:3] == [
        "server_address must be configured",
        "server_port must be configured",
        "trust_domain must be configured",
    ]
    assert found[3] == (
        "trust_bundle_path, trust_bundle_url, or trust_bundle_spiffe_workload_api must be "
        "configured unless insecure_bootstrap is set"
    )
    with pytest.raises(ConfigError, match="agent section must be configured"):
        agent_config(parse_document(PLUGINS, "a.conf"))


def test_an_agent_may_bootstrap_insecurely_if_told_so() -> None:
    assert config(f"{ADDRESS}\n insecure_bootstrap = true").agent.insecure_bootstrap
    assert config(ADDRESS, insecure_bootstrap="true").agent.insecure_bootstrap
    assert not config(f"{LEAST}\n insecure_bootstrap = false").agent.insecure_bootstrap


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            f"{LEAST}\n insecure_bootstrap = true",
            "agent.insecure_bootstrap: only one of insecure_bootstrap or trust_bundle_path can be",
        ),
        (
            f'{LEAST}\n trust_bundle_url = "https://x"',
            "only one of trust_bundle_url or trust_bundle_path can be specified, not both",
        ),
        (f'{ADDRESS}\n trust_bundle_url = "https://x"', "trust_bundle_url: is not served"),
        (
            f'{LEAST}\n join_token = "x"\n join_token_file = "/y"',
            "only one of join_token or join_token_file can be specified, not both",
        ),
        (
            f'{LEAST}\n socket_path = "/run/a/api.sock"\n admin_socket_path = "/run/a/b/x.sock"',
            (
                "admin socket cannot be in the same directory or a subdirectory as that containing "
                "the Workload API socket"
            ),
        ),
        (
            f'{LEAST}\n admin_socket_path = "/tmp/spire-agent/public/admin.sock"',
            "admin socket cannot be in the same directory",
        ),
        (
            f'{LEAST}\n sds {{ default_bundle_name = "ALL" }}',
            "default_bundle_name and default_all_bundles_name must differ",
        ),
        (
            f'{LEAST}\n workload_x509_svid_key_type = "rsa-4096"',
            "error parsing workload_x509_svid_key_type: ",
        ),
        (f'{LEAST}\n trust_bundle_format = "der"', "must be pem or spiffe, not 'der'"),
        (f'{LEAST}\n rebootstrap_mode = "auto"', "rebootstrap_mode: is not served by Finial"),
        (f'{LEAST}\n authorized_delegates = ["x"]', '"x" is no SPIFFE ID: '),
        (
            f'{LEAST}\n authorized_delegates = ["spiffe://other.org/x"]',
            (
                'error validating authorized delegate: SPIFFE ID "spiffe://other.org/x" is not a '
                'member of trust domain "example.org"'
            ),
        ),
        (f'{LEAST}\n availability_target = "24h"', "availability_target: is not served"),
        (f"{LEAST}\n profiling_enabled = true", "profiling_enabled: is not served"),
        (f"{LEAST}\n experimental {{ require_pq_kem = true }}", "require_pq_kem: is not served"),
        (f'{LEAST}\n experimental {{ broker {{ id = "x" }} }}', "broker: is not served"),
        (
            f"{LEAST}\n experimental {{ ratelimit {{ fetch_jwt_svid = 5 }} }}",
            "agent.experimental.ratelimit.fetch_jwt_svid: is not served",
        ),
        (f'{LEAST}\n experimental {{ sync_interval = "0s" }}', "sync_interval: must be longer"),
        (f'{LEAST}\n experimental {{ feature_flags = ["x"] }}', "unknown feature flag(s): [x]"),
    ],
)
def test_what_cannot_be_is_named_with_the_way_out(lines: str, problem: str) -> None:
    assert any(problem in each for each in problems(lines))


def test_a_broken_rule_is_told_beside_other_mistakes() -> None:
    found = problems(f'{ADDRESS}\n server_port2 = 1\n join_token = "x"\n join_token_file = "/y"')
    assert [each.split(": ")[1] for each in found] == [
        "agent.trust_bundle_path",
        "agent.server_port2",
        "agent.join_token_file",
    ]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('sds { default_svid_name = "x" }', "agent.sds"),
        ("disable_sds_api = true", "agent.disable_sds_api"),
        ('log_selectors = ["unix"]', "agent.log_selectors"),
        ('rebootstrap_delay = "5m"', "agent.rebootstrap_delay"),
        ("experimental { use_sync_authorized_entries = true }", "use_sync_authorized_entries"),
        ('experimental { jwt_svid_cache_hit_timeout = "9s" }', "jwt_svid_cache_hit_timeout"),
    ],
)
def test_a_key_that_is_safe_to_leave_is_warned_of(line: str, key: str) -> None:
    [warning] = config(f"{LEAST}\n {line}").warnings
    assert warning.key.endswith(key)
    assert warning.message.startswith("has no effect: ")


@pytest.mark.parametrize(
    "line",
    [
        'rebootstrap_mode = "never"',
        "allow_unauthenticated_verifiers = false",
        "authorized_delegates = []",
        "experimental { ratelimit { fetch_x509_svid = 0 } }",
    ],
)
def test_a_key_that_asks_for_what_is_done_anyway_is_fine(line: str) -> None:
    assert config(f"{LEAST}\n {line}").warnings == ()


def test_the_join_token_may_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(" s3cret\n")
    assert config(LEAST, join_token_file=str(path)).join_token == Secret("s3cret")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file or directory"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "no text"),
        (b"x" * 5000, "is too long"),
    ],
)
def test_a_join_token_file_without_a_token_is_refused(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    [found] = problems(f'{LEAST}\n join_token_file = "{path}"')
    assert found.startswith("a.conf:5:2: agent.join_token_file: ")
    assert problem in found


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        ('NodeAttestor "x509pop" {}', "plugins.NodeAttestor.x509pop: is not served by Finial"),
        ('WorkloadAttestor "k8s" {}', "plugins.WorkloadAttestor.k8s: is not served by Finial"),
        ('SVIDStore "aws_secretsmanager" {}', "SVIDStore.aws_secretsmanager: is not served"),
        ('KeyManager "disk" {}', "directory must be configured"),
    ],
)
def test_plugins_of_spire_that_are_not_served_are_refused(plugin: str, problem: str) -> None:
    found = problems(LEAST, PLUGINS.replace("plugins {", f"plugins {{ {plugin}"))
    assert any(problem in each for each in found)


def test_every_kind_of_plugin_that_is_needed_is_asked_for() -> None:
    found = [each.split(": ", 2)[1:] for each in problems(LEAST, "")]
    assert [kind for kind, _ in found] == [
        "plugins.KeyManager",
        "plugins.NodeAttestor",
        "plugins.WorkloadAttestor",
    ]
    assert found[2][1].startswith("constraint not satisfied: expected at least 1 but got 0")


def test_reading_the_agents_configuration_loads_no_database_and_no_grpc() -> None:
    script = (
        "import sys, finial.agent.config\n"
        "heavy = {'sqlalchemy', 'alembic', 'aiosqlite', 'grpc', 'kubernetes', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


SPIRE_KEYS = {
    "agent": (
        "server_address server_port trust_domain trust_bundle_path trust_bundle_url "
        "trust_bundle_spiffe_workload_api insecure_bootstrap trust_bundle_format "
        "trust_bundle_unix_socket rebootstrap_mode rebootstrap_delay data_dir socket_path "
        "admin_socket_path join_token join_token_file authorized_delegates "
        "allow_unauthenticated_verifiers allowed_foreign_jwt_claims workload_x509_svid_key_type "
        "availability_target x509_svid_cache_max_size jwt_svid_cache_max_size disable_workload_api "
        "disable_sds_api sds log_level log_format log_file log_source_location log_selectors "
        "profiling_enabled profiling_port profiling_freq profiling_names experimental"
    ),
    "agent.sds": (
        "default_svid_name default_bundle_name default_all_bundles_name "
        "disable_spiffe_cert_validation"
    ),
    "agent.experimental": (
        "sync_interval use_sync_authorized_entries require_pq_kem jwt_svid_cache_hit_timeout "
        "ratelimit broker feature_flags"
    ),
    "agent.experimental.ratelimit": (
        "fetch_x509_svid fetch_jwt_svid fetch_x509_bundles fetch_jwt_bundles stream_secrets "
        "fetch_secrets"
    ),
    "telemetry": "Prometheus Statsd DogStatsd M3 InMem",
    "health_checks": "listener_enabled bind_address bind_port live_path ready_path",
    "plugins": "KeyManager NodeAttestor WorkloadAttestor SVIDStore",
    "plugins.KeyManager": "memory disk",
    "plugins.KeyManager.disk.plugin_data": "directory",
    "plugins.NodeAttestor": (
        "join_token x509pop sshpop k8s_psat aws_iid gcp_iit azure_imds http_challenge tpm_devid"
    ),
    "plugins.WorkloadAttestor": "unix systemd docker k8s slurm",
    "plugins.WorkloadAttestor.unix.plugin_data": "discover_workload_path workload_size_limit",
    "plugins.SVIDStore": "aws_secretsmanager gcp_secretmanager",
}


@pytest.mark.parametrize("section", SPIRE_KEYS)
def test_no_key_of_spires_is_unknown(section: str) -> None:
    body = "\n".join(f'"{key}" {{}}' for key in SPIRE_KEYS[section].split())
    for name in reversed(section.split(".")):
        body = f"{name} {{ {body} }}"
    with pytest.raises(ConfigError) as caught:
        agent_config(parse_document(body, "a.conf"))
    assert "unknown" not in str(caught.value)
