"""PostgreSQL for tests: servers of our own, made from the binaries that the machine has.

One server stands for the whole session (`shared`), in which each test gets a database of its own;
fail-over tests make a primary and a replica (`Pair`). All of them die with this process, and what
a process that was killed left in the temporary folder is swept by the next one.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USER = "spiffe"
MISSING = "PostgreSQL is not installed: apt-get install postgresql-15 (or postgresql)"
PATIENCE = 60.0
"""Seconds until a server that does not come up, or go down, fails the test."""

_PREFIX = "fpg-"
_SETTINGS = {
    "dynamic_shared_memory_type": "mmap",  # in the data folder, which is removed
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "max_wal_senders": "4",
    "shared_buffers": "16MB",
    "wal_keep_size": "64MB",
    "log_min_messages": "warning",
}


def find_binaries() -> Path | None:
    """The folder of initdb and its like, the newest version first; None if there is none."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((each.parent for each in versions), default=None, key=_version)


def _version(folder: Path) -> float:
    return float(folder.parent.name)


def binaries() -> Path:
    """The folder of the binaries; without one the test is skipped, and fails where CI is set."""
    found = find_binaries()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return found


def _owner() -> tuple[int, int]:
    """Whom the servers run as: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    try:
        found = pwd.getpwnam("postgres")
    except KeyError:
        found = pwd.getpwnam("nobody")
    return found.pw_uid, found.pw_gid


def _command(*words: str | Path) -> list[str]:
    """The words as a command of the owner, which ends with this process whatever becomes of it."""
    uid, gid = _owner()
    as_whom = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"] if os.getuid() == 0 else []
    return ["setpriv", "--pdeathsig", "QUIT", *as_whom, "--", *map(str, words)]


def _run(*words: str | Path) -> None:
    done = subprocess.run(_command(*words), capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"


def _until(holds: Callable[[], object], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.005)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """One server over a data folder, started and ended as often as a test wishes.

    Its methods block; a test whose event loop must go on meanwhile calls them on a thread.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._settings = _SETTINGS | settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def dsn(self, database: str = "postgres") -> str:
        """The connection string over the Unix socket."""
        return f"host={self.folder} port={self.port} user={USER} dbname={database}"

    def url(self, database: str = "postgres") -> str:
        """The connection string over TCP, as a URL."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        assert not self.running
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _command(binaries() / "postgres", "-D", self.data, *self._flags()),
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        _until(self._answers, self.log)

    def _flags(self) -> list[str]:
        own = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        return [f"--{name}={value}" for name, value in (self._settings | own).items()]

    def _answers(self) -> bool:
        assert self.running, f"postgres has ended: {self.log()}"
        with suppress(psycopg.OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def stop(self) -> None:
        """End it in good order, its clients' connections included."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End all its processes without a chance to do anything."""
        self._end(signal.SIGKILL)

    def clean_up(self) -> None:
        """End it in whatever state it is, and leave nothing in the kernel."""
        if self.running:
            self.resume()
            self._end(signal.SIGQUIT)
        elif (self.data / "postmaster.pid").exists():  # it was killed
            segment = (self.data / "postmaster.pid").read_text().splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "-m", segment], check=False, capture_output=True)

    def _end(self, number: signal.Signals) -> None:
        family = self._family()
        for pid in family if number is signal.SIGKILL else [self.pid]:
            _signal(pid, number)
        assert self._process is not None
        self._process.wait(PATIENCE)
        _until(lambda: not any(_alive(pid) for pid in family), self.log)

    def pause(self) -> None:
        """Stop all its processes where they are: connections stay, nobody answers."""
        for pid in self._family():
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let its processes go on."""
        for pid in reversed(self._family()):
            _signal(pid, signal.SIGCONT)

    def _family(self) -> list[int]:
        """The postmaster and its children, which leave its process group."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *(map(int, path.read_text().split()) if path.exists() else ())]

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement by itself, and return its rows if it has any."""
        with psycopg.connect(self.dsn(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def hang_up(self) -> int:
        """End every client's connection, as an administrator does; return how many there were."""
        rows = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return len(rows)

    def promote(self) -> None:
        """Make a replica the primary."""
        assert self.execute("SELECT pg_promote()") == [(True,)]

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new, empty database; yields its connection string."""
        name = f"t{time.monotonic_ns()}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self.dsn(name)
        finally:
            if self.running:
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of the owner's with a short path, which Unix sockets need."""
    _sweep()
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir="/tmp"))
    os.chown(made, *_owner())
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _sweep() -> None:
    """Remove what processes that are gone have left."""
    for left in Path("/tmp").glob(f"{_PREFIX}*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def shared() -> Iterator[PostgresServer]:
    """The server of the session; its data folder, unused, is what `Pair` copies."""
    initdb = binaries() / "initdb"
    with folder() as home:
        options = ("--no-sync", "-A", "trust", "-E", "UTF8", "--locale=C", "-U", USER)
        _run(initdb, "-D", home / "pristine", *options)
        server = PostgresServer(home)
        _run("cp", "-r", home / "pristine", server.data)
        server.start()
        try:
            yield server
        finally:
            server.clean_up()


class Pair:
    """A primary and a replica that streams from it; `synchronous` makes commits wait for both."""

    def __init__(self, primary: PostgresServer, replica: PostgresServer) -> None:
        self.primary = primary
        self.replica = replica

    def dsn(self, database: str = "postgres") -> str:
        """The connection string that finds whichever of the two takes writes."""
        ports = f"{self.primary.port},{self.replica.port}"
        return (
            f"host=127.0.0.1,127.0.0.1 port={ports} user={USER} dbname={database} "
            "target_session_attrs=read-write connect_timeout=2 sslmode=disable"
        )

    def synchronous(self) -> None:
        """From now on a commit on the primary is on the replica before it is acknowledged."""
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.execute("SELECT pg_reload_conf()")
        _until(self._streams_synchronously, self.primary.log)

    def _streams_synchronously(self) -> bool:
        rows = self.primary.execute("SELECT sync_state FROM pg_stat_replication")
        return rows == [("sync",)]

    def caught_up(self) -> None:
        """Wait until the replica shows all that the primary has committed until now."""
        ((position,),) = self.primary.execute("SELECT pg_current_wal_lsn()::text")
        wanted = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        _until(lambda: self.replica.execute(wanted) == [(True,)], self.replica.log)

    def fail_over(self) -> None:
        """Kill the primary, and put the replica in its place."""
        self.primary.kill()
        self.replica.promote()


@contextmanager
def pair(of: PostgresServer) -> Iterator[Pair]:
    """A primary and its replica, made from the pristine data folder of the shared server."""
    with folder() as one, folder() as other:
        primary, replica = PostgresServer(one), PostgresServer(other)
        _run("cp", "-r", of.folder / "pristine", primary.data)
        servers: Sequence[PostgresServer] = (replica, primary)
        try:
            primary.start()
            source = f"host=127.0.0.1 port={primary.port} user={USER}"
            backup = ("-R", "-X", "stream", "--no-sync", "-c", "fast")
            _run(binaries() / "pg_basebackup", "-D", replica.data, "-d", source, *backup)
            replica.start()
            yield Pair(primary, replica)
        finally:
            for each in servers:
                each.clean_up()
