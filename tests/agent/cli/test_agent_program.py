import base64
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from finial.agent.cli.main import COMMANDS, PROGRAM
from finial.agent.cli.x509_text import brief
from tests.fakes.background import served
from tests.fakes.program import Outcome, invoke
from tests.fakes.workload_api import JWKS, FakeWorkloadApi

Run = Callable[..., Outcome]
NO_IDENTITY = (grpc.StatusCode.PERMISSION_DENIED, "no identity issued")


@pytest.mark.parametrize("words", [each.words for each in COMMANDS])
def test_every_command_has_help_and_refuses_unknown_flags(words: str) -> None:
    helped = invoke(PROGRAM, *words.split(), "-h")
    assert helped.code == 0
    assert helped.err.startswith("Usage of ")
    refused = invoke(PROGRAM, *words.split(), "-nonsense")
    assert refused.code == 1
    assert refused.err.startswith("flag provided but not defined: -nonsense\n")


@pytest.mark.parametrize("command", ["api fetch", "api fetch x509"])
def test_x509_svids_are_shown_with_the_validity_of_every_certificate(
    run: Run, api: FakeWorkloadApi, command: str
) -> None:
    api.federated = True
    outcome = run(command)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith("Received 1 svid after ")
    assert lines[1:4] == ["", "SPIFFE ID:\t\tspiffe://example.org/w", "Hint:\t\t\tthe hint"]
    assert [line.split("\t")[0] for line in lines[4:]] == [
        "SVID Valid After:",
        "SVID Valid Until:",
        "CA #1 Valid After:",
        "CA #1 Valid Until:",
        "[spiffe://other.org] CA #1 Valid After:",
        "[spiffe://other.org] CA #1 Valid Until:",
        "",
    ]


def test_several_svids_are_counted_and_a_missing_hint_is_left_out(
    run: Run, api: FakeWorkloadApi
) -> None:
    api.ids = [("spiffe://example.org/a", ""), ("spiffe://example.org/b", "")]
    out = run("api fetch x509").out
    assert out.startswith("Received 2 svids after ")
    assert "Hint" not in out


def test_silence_prints_nothing(run: Run) -> None:
    assert run("api fetch x509 -silent") == Outcome(0, "", "")


def test_json_is_the_message_itself(run: Run) -> None:
    shown = run("api fetch x509 -output json").json
    assert (shown["crl"], shown["federated_bundles"]) == ([], {})
    [svid] = shown["svids"]
    assert sorted(svid) == ["bundle", "hint", "spiffe_id", "x509_svid", "x509_svid_key"]
    assert base64.b64decode(svid["bundle"])[0] == 0x30


def test_svids_are_written_with_keys_for_the_owner_alone(
    run: Run, api: FakeWorkloadApi, tmp_path: Path
) -> None:
    api.federated = True
    outcome = run(f"api fetch x509 -silent -write {tmp_path}")
    assert outcome.out == (
        f"Writing SVID #0 to file {tmp_path}/svid.0.pem.\n"
        f"Writing key #0 to file {tmp_path}/svid.0.key.\n"
        f"Writing bundle #0 to file {tmp_path}/bundle.0.pem.\n"
        "Writing federated bundle #0 for trust domain spiffe://other.org "
        f"to file {tmp_path}/federated_bundle.0.0.pem.\n"
    )
    assert stat.S_IMODE((tmp_path / "svid.0.key").stat().st_mode) == 0o600
    assert (tmp_path / "svid.0.key").read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    for name in ("svid.0.pem", "bundle.0.pem", "federated_bundle.0.0.pem"):
        assert (tmp_path / name).read_text().startswith("-----BEGIN CERTIFICATE-----\n")


def test_a_folder_that_is_missing_is_told(run: Run) -> None:
    outcome = run("api fetch x509 -silent -write /no/such")
    assert outcome.code == 1
    assert outcome.err == "open /no/such/svid.0.pem: no such file or directory\n"


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        ("api fetch x509", ""),
        ("api fetch jwt -audience a", ""),
        ("api validate jwt -audience a -svid x", "unable to validate JWT SVID: "),
    ],
)
def test_a_refusal_is_told_without_the_word_error(
    run: Run, api: FakeWorkloadApi, line: str, prefix: str
) -> None:
    api.refusal = NO_IDENTITY
    outcome = run(line)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"{prefix}rpc error: code = PermissionDenied desc = no identity issued\n"
    )


def test_without_an_agent_the_failure_says_how_to_start_one() -> None:
    outcome = invoke(PROGRAM, "api", "fetch", "-socketPath", "/no/such")
    assert outcome.code == 1
    assert outcome.err.startswith("rpc error: code = Unavailable desc = ")
    assert outcome.err.endswith(
        "\nnothing listens on /no/such: start it with `finial-agent run`, or set -socketPath\n"
    )


def test_an_instance_without_template_is_refused() -> None:
    outcome = invoke(PROGRAM, "api", "fetch", "-instance", "a")
    assert (outcome.code, outcome.err.strip()) == (
        1,
        (
            "SPIRE_AGENT_PUBLIC_SOCKET_TEMPLATE environment variable must be defined "
            "when using the instance flag"
        ),
    )


def test_jwt_svids_are_shown_with_hints_and_bundles(run: Run, api: FakeWorkloadApi) -> None:
    outcome = run("api fetch jwt -audience a,b -spiffeID spiffe://example.org/w")
    assert outcome.out == (
        "token(spiffe://example.org/w):\n\ta.b.c\n"
        "hint(spiffe://example.org/w):\n\tthe hint\n"
        f"bundle(spiffe://example.org):\n\t{JWKS.decode()}\n"
    )
    assert list(api.requests[-1].audience) == ["a", "b"]
    assert api.requests[-1].spiffe_id == "spiffe://example.org/w"


@pytest.mark.parametrize("flag", ["-output", "-format"])
def test_jwt_svids_in_json_are_a_list_of_svids_and_bundles(run: Run, flag: str) -> None:
    svids, bundles = run(f"api fetch jwt -audience a {flag} json").json
    assert svids == {
        "svids": [{"hint": "the hint", "spiffe_id": "spiffe://example.org/w", "svid": "a.b.c"}]
    }
    assert base64.b64decode(bundles["bundles"]["spiffe://example.org"]) == JWKS


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("api fetch jwt", "audience must be specified"),
        ("api validate jwt", "audience must be specified"),
        ("api validate jwt -audience a", "svid must be specified"),
        ("api validate jwt -audience a -svid x", "SVID is not valid: token has expired"),
    ],
)
def test_jwt_commands_need_their_flags(run: Run, line: str, complaint: str) -> None:
    outcome = run(line)
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"{complaint}\n")


def test_a_valid_jwt_svid_is_shown_with_its_claims(run: Run) -> None:
    assert run("api validate jwt -audience a -svid a.b.c").out == (
        "SVID is valid.\n"
        "SPIFFE ID : spiffe://example.org/w\n"
        'Claims    : {"aud":["a"],"exp":1800000000,"sub":"spiffe://example.org/w"}\n'
    )
    shown = run("api validate jwt -audience a -svid a.b.c -output json").json
    assert shown["claims"]["exp"] == 1800000000


def test_an_answer_that_does_not_come_in_time_is_told(run: Run, api: FakeWorkloadApi) -> None:
    api.updates = 0
    outcome = run("api fetch x509")
    assert (outcome.code, outcome.err) == (1, "the agent ended the stream without an answer\n")


def test_health_is_told(run: Run) -> None:
    assert run("healthcheck") == Outcome(0, "Agent is healthy.\n", "")
    assert run("healthcheck -verbose").out == "Checking agent health...\nAgent is healthy.\n"
    missing = invoke(PROGRAM, "healthcheck", "-socketPath", "/no/such")
    assert missing == Outcome(1, "", "Agent is unhealthy: unable to determine health\n")


def test_watch_prints_every_update_and_every_failure_until_interrupted(tmp_path: Path) -> None:
    api = FakeWorkloadApi(updates=2)
    socket = tmp_path / "api.sock"
    with served(socket, api.add_to):
        words = ["-m", "finial.agent.cli.main", "api", "watch", "-socketPath", str(socket)]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        ) as process:
            assert process.stdout is not None
            received = 0
            while received < 3:  # the stream ends after two, and is opened again
                received += process.stdout.readline().startswith("Received 1 svid")
            process.send_signal(signal.SIGINT)
            _, complaints = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in complaints


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.00216, "2.16ms"), (1.5, "1.5s"), (0.000013, "13µs"), (0, "0s"), (12.0, "12s")],
)
def test_short_times_are_brief(seconds: float, text: str) -> None:
    assert brief(seconds) == text


# -- validate and run --------------------------------------------------------------------

GOOD = """
agent {
  trust_domain = "example.org"
  server_address = "localhost"
  server_port = 8081
  insecure_bootstrap = true
}
plugins {
  NodeAttestor "join_token" { plugin_data {} }
  KeyManager "memory" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
"""


def test_a_valid_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "agent.conf"
    file.write_text(GOOD)
    outcome = invoke(PROGRAM, "validate", "-config", str(file))
    assert outcome.out == "SPIRE agent configuration file is valid.\n"


def test_flags_beat_the_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.conf"
    file.write_text(GOOD)
    outcome = invoke(
        PROGRAM, "validate", "-config", str(file), "-joinToken", "a", "-joinTokenFile", "b"
    )
    assert outcome.code == 1
    assert outcome.err.startswith("SPIRE agent configuration file is invalid: ")
    assert "only one of join_token or join_token_file" in outcome.err


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_missing_file_is_told_with_exit_code_1(command: str) -> None:
    outcome = invoke(PROGRAM, command, "-config", "/no/such")
    assert outcome.code == 1
    assert "/no/such: cannot read the configuration file: no such file" in outcome.err
