"""`finial-server run` as a process: how it starts, refuses and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from finial.cli.up.port import free_port
from finial.server.cli.main import PROGRAM
from tests.fakes.program import invoke

pytestmark = pytest.mark.skipif(
    not entry_points(group="finial.node_attestors.server"),
    reason="run `pip install -e .` to register the attestors",
)
ENV = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))}


def configuration(folder: Path, port: int) -> Path:
    file = folder / "server.conf"
    file.write_text(f"""
server {{
  trust_domain = "example.org"
  data_dir = "{folder}/data"
  bind_address = "127.0.0.1"
  bind_port = {port}
  socket_path = "{folder}/server.sock"
  telemetry_nonsense = 1
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{ database_type = "sqlite3", connection_string = "{folder}/data/d.sqlite3" }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data {{}} }}
}}
""")
    return file


def good_configuration(folder: Path, port: int) -> Path:
    file = configuration(folder, port)
    file.write_text(file.read_text().replace("  telemetry_nonsense = 1\n", ""))
    return file


def words(file: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "finial.server.cli.main", "run", "-config", str(file), *flags]


@contextmanager
def running(file: Path) -> Iterator[subprocess.Popen[str]]:
    """A server that answers on its socket; killed when the block has not ended it."""
    with subprocess.Popen(
        words(file), env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            socket = str(file.parent / "server.sock")
            while invoke(PROGRAM, "healthcheck", "-socketPath", socket).code:
                assert process.poll() is None, process.communicate()[0]
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_it_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    with running(good_configuration(tmp_path, free_port(0, 0))) as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in out


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    file = good_configuration(tmp_path, free_port(0, 0))
    with running(file) as process:
        second = subprocess.run(
            words(file, "-serverPort", str(free_port(0, 0))),
            env=ENV,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert second.returncode == 1
        assert f"is in use by process {process.pid}" in second.stderr
        assert "Traceback" not in second.stderr


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        file = good_configuration(tmp_path, taken.getsockname()[1])
        outcome = subprocess.run(
            words(file), env=ENV, capture_output=True, text=True, check=False, timeout=30
        )
    assert outcome.returncode == 1
    assert "in use" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_key_that_nobody_knows_is_refused_with_its_line(tmp_path: Path) -> None:
    file = configuration(tmp_path, 1)
    outcome = subprocess.run(
        words(file), env=ENV, capture_output=True, text=True, check=False, timeout=30
    )
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"{file}:8:3: server.telemetry_nonsense: unknown key; ")


def test_a_log_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    file = good_configuration(tmp_path, 1)
    outcome = subprocess.run(
        words(file, "-logFile", "/no/such/log"),
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("could not start logger: ")
