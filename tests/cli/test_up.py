"""`finial up` as a person runs it: real programs, a real folder."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from finial.agent.cli.main import PROGRAM as AGENT
from finial.server.cli.main import PROGRAM as SERVER
from tests.fakes.program import invoke

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not entry_points(group="finial.node_attestors.server"),
        reason="run `pip install -e .` to register the attestors",
    ),
]
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))}


def up(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _words(folder, flags), env=ENV, capture_output=True, text=True, check=False, timeout=120
    )


def _words(folder: Path, flags: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "finial.cli.main", "up", "-dir", str(folder), *flags]


@contextmanager
def staying_up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A `finial up` that stays, and the facts that it printed."""
    with subprocess.Popen(
        _words(folder, ["-output", "json"]),
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            yield process, json.loads(line)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def children(folder: Path) -> list[int]:
    """Processes whose command line names the folder, this one's `finial up` aside."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in command and b"-config" in command:
                found.append(int(entry.name))
    return found


def gone(folder: Path) -> bool:
    """Wait until no child is left, a minute at most."""
    for pid in children(folder):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], 60)[0], f"process {pid} lives on"
        finally:
            os.close(descriptor)
    return not children(folder)


def test_once_prints_one_identity_and_leaves_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "up"
    first = up(folder, "--once")
    assert (first.returncode, first.stderr) == (0, "")
    assert "SPIFFE ID    : spiffe://example.org/user/" in first.stdout
    assert f"Workload API : unix://{folder}/agent.sock" in first.stdout
    assert "Ctrl-C" not in first.stdout
    assert children(folder) == []
    assert not (folder / "join-token").exists()


def test_a_second_time_it_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "up"
    with staying_up(folder) as (_, facts):
        before = _server_state(facts)
    with staying_up(folder) as (process, facts):
        assert _server_state(facts) == before
        fetched = invoke(AGENT, "api", "fetch", "-socketPath", facts["agent_socket"])
        assert facts["spiffe_id"] in fetched.out
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
    assert gone(folder)


def _server_state(facts: dict[str, str]) -> tuple[object, ...]:
    agents = invoke(SERVER, *_words_for("agent list", facts)).json["agents"]
    entries = invoke(SERVER, *_words_for("entry show", facts)).json["entries"]
    return [each["id"] for each in agents], [each["id"] for each in entries]


def _words_for(command: str, facts: dict[str, str]) -> list[str]:
    return [*command.split(), "-socketPath", facts["server_socket"], "-output", "json"]


def test_while_it_runs_a_second_one_in_the_folder_is_refused(tmp_path: Path) -> None:
    with staying_up(tmp_path) as (process, _):
        second = up(tmp_path, "--once")
    assert second.returncode == 1
    assert second.stderr == (
        f"Error: `finial up` is running in {tmp_path} already (process {process.pid}): "
        "use that one, stop it first, or name another folder with -dir\n"
    )


def test_server_and_agent_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    with staying_up(tmp_path) as (process, _):
        assert len(children(tmp_path)) >= 2
        process.kill()
        process.wait()
        assert gone(tmp_path)


def test_an_agent_that_was_evicted_joins_anew_the_next_time(tmp_path: Path) -> None:
    with staying_up(tmp_path) as (_, facts):
        [agent] = invoke(SERVER, *_words_for("agent list", facts)).json["agents"]
        uri = f"spiffe://example.org{agent['id']['path']}"
        evicted = invoke(
            SERVER, "agent", "evict", "-spiffeID", uri, "-socketPath", facts["server_socket"]
        )
        assert evicted.code == 0
    again = up(tmp_path, "--once", "-output", "json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["spiffe_id"] == facts["spiffe_id"]


def test_a_banned_agent_ends_with_exit_code_1_and_the_server_stays(tmp_path: Path) -> None:
    with staying_up(tmp_path) as (process, facts):
        [agent] = invoke(SERVER, *_words_for("agent list", facts)).json["agents"]
        uri = f"spiffe://example.org{agent['id']['path']}"
        banned = invoke(
            SERVER, "agent", "ban", "-spiffeID", uri, "-socketPath", facts["server_socket"]
        )
        assert banned.code == 0
        assert process.stderr is not None
        assert process.stderr.readline().startswith("the agent has ended with exit code 1; ")
        health = invoke(SERVER, "healthcheck", "-socketPath", facts["server_socket"])
        assert health.code == 0


def test_a_child_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "up"
    assert up(folder, "--once").returncode == 0
    database = folder / "server" / "datastore.sqlite3"
    database.write_bytes(b"no database at all" * 1000)
    outcome = up(folder, "--once")
    assert outcome.returncode == 1
    assert "Error: the server has ended with exit code 1; the end of " in outcome.stderr
    assert "damaged or not a database" in outcome.stderr
    assert gone(folder)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["-trust-domain", "B!"], 'Error: cannot use trust domain "B!": '),
        (["-port", "70000"], "Error: 70000 is no port: use 1 to 65535"),
        (["-nonsense"], "flag provided but not defined: -nonsense"),
        (["-output", "x"], 'invalid value "x" for flag -output'),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    tmp_path: Path, flags: list[str], complaint: str
) -> None:
    outcome = up(tmp_path, *flags, "--once")
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(complaint)


def test_a_folder_that_cannot_be_made_is_told() -> None:
    outcome = up(Path("/proc/no/such"), "--once")
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("Error: cannot create folder /proc/no/such: ")


def test_a_folder_with_a_long_path_gets_its_sockets_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100)
    outcome = up(folder, "--once", "-output", "json")
    assert outcome.returncode == 0, outcome.stderr
    facts = json.loads(outcome.stdout)
    assert outcome.stderr == (
        f"The path of {folder} is too long for sockets: see {Path(facts['agent_socket']).parent}.\n"
    )
    assert len(facts["agent_socket"]) <= 100
    Path(facts["agent_socket"]).parent.rmdir()
