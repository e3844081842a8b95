import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finial.api.grpc.health_pb2 import HealthCheckResponse
from finial.server.cli.main import COMMANDS, PROGRAM
from tests.fakes.admin_api import FakeAdminApi
from tests.fakes.program import Outcome, invoke

Run = Callable[..., Outcome]


# -- every command -----------------------------------------------------------------------


@pytest.mark.parametrize("words", [each.words for each in COMMANDS])
def test_every_command_has_help_and_refuses_unknown_flags(words: str) -> None:
    helped = invoke(PROGRAM, *words.split(), "-h")
    assert helped.code == 0
    assert helped.err.startswith("Usage of ")
    refused = invoke(PROGRAM, *words.split(), "-nonsense")
    assert refused.code == 1
    assert refused.err.startswith("flag provided but not defined: -nonsense\n")


@pytest.mark.parametrize(
    "words", [each.words for each in COMMANDS if each.words not in {"run", "validate"}]
)
def test_every_client_command_takes_the_two_socket_flags(words: str) -> None:
    helped = invoke(PROGRAM, *words.split(), "-h")
    assert "  -socketPath string\n" in helped.err
    assert "  -instance string\n" in helped.err
    assert ("  -output value\n" in helped.err) is (words != "healthcheck")


def test_without_a_server_the_failure_says_how_to_start_one(tmp_path: Path) -> None:
    socket = tmp_path / "no.sock"
    outcome = invoke(PROGRAM, "bundle", "show", "-socketPath", str(socket))
    assert outcome.code == 1
    assert outcome.err.startswith("Error: rpc error: code = Unavailable desc = ")
    assert outcome.err.endswith(
        f"\nnothing listens on {socket}: start it with `finial-server run`, or set -socketPath\n"
    )


def test_an_abandoned_socket_is_told_from_a_missing_one(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "old.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    outcome = invoke(PROGRAM, "bundle", "show", "-socketPath", str(path))
    assert f"whoever made {path} has stopped" in outcome.err


def test_an_instance_without_template_is_refused() -> None:
    outcome = invoke(PROGRAM, "bundle", "show", "-instance", "a")
    assert (outcome.code, outcome.err) == (
        1,
        ("Error: you must define SPIRE_SERVER_PRIVATE_SOCKET_TEMPLATE to use the instance flag\n"),
    )


# -- token -------------------------------------------------------------------------------


def test_a_token_is_printed_with_a_warning_when_it_names_no_id(run: Run, api: FakeAdminApi) -> None:
    assert run("token generate").out == "Token: the-token\nWarning: Missing SPIFFE ID.\n"
    assert api.tokens[0].ttl == 600
    assert not api.tokens[0].HasField("agent_id")
    assert run("token generate -spiffeID spiffe://a.org/n -ttl 5").out == "Token: the-token\n"
    assert (api.tokens[1].agent_id.path, api.tokens[1].ttl) == ("/n", 5)


def test_a_token_in_json_has_its_expiry_as_text(run: Run) -> None:
    assert run("token generate -output json").out == (
        '{"expires_at":"1800000600","value":"the-token"}\n'
    )


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("-spiffeID bad://x", "scheme is missing or invalid"),
        (
            "-ttl 9999999999",
            "invalid value for TTL: overflow converting int(9999999999) to int32",
        ),
        (
            "-ttl 0",
            ("rpc error: code = InvalidArgument desc = ttl is required, you must provide one"),
        ),
    ],
)
def test_a_token_that_cannot_be_made_is_refused(run: Run, flags: str, complaint: str) -> None:
    outcome = run(f"token generate {flags}")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"Error: {complaint}\n")


# -- bundle ------------------------------------------------------------------------------


def test_the_bundle_is_shown_as_pem_as_jwks_and_as_json(run: Run) -> None:
    assert run("bundle show").out.startswith("-----BEGIN CERTIFICATE-----\n")
    document = run("bundle show -format SPIFFE").out
    assert [key["use"] for key in json.loads(document)["keys"]] == ["x509-svid", "jwt-svid"]
    assert document.startswith('{\n    "keys"')
    assert document.endswith("}\n")
    shown = run("bundle show -output json").json
    assert (shown["trust_domain"], shown["sequence_number"]) == ("example.org", "7")


def test_an_unknown_bundle_format_is_refused(run: Run) -> None:
    outcome = run("bundle show -format x")
    assert (outcome.code, outcome.err) == (1, 'Error: invalid format: "x"\n')


# -- logger and debug --------------------------------------------------------------------


def test_the_log_level_is_shown_changed_and_reset(run: Run) -> None:
    assert run("logger get").out == "Logger Level : info\nLaunch Level : info\n\n"
    assert run("logger set -level Debug").out == "Logger Level : debug\nLaunch Level : info\n\n"
    assert run("logger set -level warn").out.startswith("Logger Level : warning\n")
    assert run("logger reset -output json").out == (
        '{"current_level":"INFO","launch_level":"INFO"}\n'
    )


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("", "a value (-level) must be set"),
        ("-level bad", 'the value "bad" is not a valid setting'),
    ],
)
def test_a_log_level_must_be_one_of_spires(run: Run, flags: str, complaint: str) -> None:
    outcome = run(f"logger set {flags}")
    assert (outcome.code, outcome.err) == (1, f"Error: {complaint}\n")


def test_debug_info_is_shown(run: Run) -> None:
    lines = run("debug getinfo").out.splitlines()
    assert lines[:8] == [
        "Server Debug Info:",
        "  Uptime:                  1h2m5s",
        "  Registered Agents:       0",
        "  Registration Entries:    0",
        "  Federated Bundles:       1",
        "  SVID Chain:",
        "    [0] SPIFFE ID:  spiffe://example.org/spire/server",
        "        Subject:    O=SPIRE,C=US",
    ]
    assert lines[8].startswith("        Expires At: 2027-01-15T")
    assert run("debug getinfo -output json").json["uptime"] == 3725


# -- healthcheck -------------------------------------------------------------------------


def test_a_healthy_server_is_told(run: Run) -> None:
    assert run("healthcheck") == Outcome(0, "Server is healthy.\n", "")
    assert run("healthcheck -shallow -verbose").out == (
        "Checking server health...\nServer is healthy.\n"
    )


def test_an_unhealthy_server_is_told(run: Run, api: FakeAdminApi) -> None:
    api.health = HealthCheckResponse.NOT_SERVING
    unhealthy = "Error: server is unhealthy: unable to determine health\n"
    assert run("healthcheck") == Outcome(1, "", unhealthy)
    assert run("healthcheck -verbose").err == (
        f"Failed to check health: the answer is NOT_SERVING\n{unhealthy}"
    )


def test_a_missing_server_is_unhealthy() -> None:
    outcome = invoke(PROGRAM, "healthcheck", "-socketPath", "/no/such")
    assert (outcome.code, outcome.err) == (
        1,
        "Error: server is unhealthy: unable to determine health\n",
    )


# -- validate and run --------------------------------------------------------------------

GOOD = """
server {
  trust_domain = "example.org"
  data_dir = "DATA"
}
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3", connection_string = "DATA/d" } }
  KeyManager "memory" { plugin_data {} }
}
"""


def test_a_valid_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "server.conf"
    file.write_text(GOOD)
    assert invoke(PROGRAM, "validate", "-config", str(file)).out == (
        "SPIRE server configuration file is valid.\n"
    )


def test_everything_wrong_with_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "server.conf"
    file.write_text(GOOD.replace("data_dir", "data_dri").replace('"example.org"', '"A!"'))
    outcome = invoke(PROGRAM, "validate", "-config", str(file))
    assert outcome.code == 1
    assert outcome.err.startswith("SPIRE server configuration file is invalid: ")
    assert "data_dri" in outcome.err
    assert 'could not parse trust_domain "A!"' in outcome.err


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_missing_file_is_told_with_exit_code_1(command: str) -> None:
    outcome = invoke(PROGRAM, command, "-config", "/no/such")
    assert outcome.code == 1
    assert "/no/such: cannot read the configuration file: no such file" in outcome.err
    assert outcome.err.startswith("Error: ") is False


def test_flags_beat_the_file_and_empty_ones_do_not(tmp_path: Path) -> None:
    file = tmp_path / "server.conf"
    file.write_text(GOOD)
    outcome = invoke(PROGRAM, "validate", "-config", str(file), "-trustDomain", "Bad!")
    assert 'could not parse trust_domain "Bad!"' in outcome.err
    assert invoke(PROGRAM, "validate", "-config", str(file), "-trustDomain", "").code == 0
    assert invoke(PROGRAM, "validate", "-config", str(file), "-serverPort", "99999").code == 1


def test_variables_are_expanded_on_request(tmp_path: Path) -> None:
    file = tmp_path / "server.conf"
    file.write_text(GOOD.replace("example.org", "$FINIAL_TEST_NOT_SET"))
    outcome = invoke(PROGRAM, "validate", "-expandEnv", "-config", str(file))
    assert "environment variable FINIAL_TEST_NOT_SET is not set" in outcome.err
