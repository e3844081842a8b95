"""The unix attestor: who a process runs as and, if asked for, what program it is.

Selectors: uid, user, gid, group, supplementary_gid, supplementary_group; with
discover_workload_path also path and sha256. The ids are the effective ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

from finial.attestors.selector import Selector
from finial.attestors.workload.accounts import TTL_SECONDS, Accounts
from finial.attestors.workload.interface import WorkloadAttestationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from finial.attestors.workload.interface import Workload

TYPE = "unix"
_STATUS_BYTES = 8192
_CHUNK_BYTES = 1 << 20
_MAX_CACHED_CREDENTIALS = 1024


class UnixSettings(BaseModel):
    """The attestor's `plugin_data`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    discover_workload_path: bool = False
    # Largest program that is hashed, in bytes; 0 sets no limit, below 0 nothing is hashed.
    workload_size_limit: int = 0


class Credentials(NamedTuple):
    """Effective user and group and the supplementary groups of a process."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def default_proc() -> Path:
    """Return where the host's process information is: HOST_PROC, or /proc."""
    return Path(os.environ.get("HOST_PROC") or "/proc")


class _Known(NamedTuple):
    """What is known of one set of credentials, until the accounts may have changed."""

    until: float
    uid: int
    gid: int
    selectors: tuple[Selector, ...]


class UnixAttestor:
    """Attests by /proc; plain credentials cost one read, answered without waiting."""

    type = TYPE

    def __init__(
        self,
        settings: Mapping[str, object],
        *,
        proc: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        accounts: Accounts | None = None,
    ) -> None:
        self._settings = UnixSettings.model_validate(dict(settings))
        self._proc = str(proc or default_proc())
        self._monotonic = monotonic
        self._accounts = accounts or Accounts(monotonic)
        # By the raw lines of the status file: equal lines have equal selectors, and the same
        # tuple object for equal callers lets the cache behind recognise them without hashing.
        self._known: dict[bytes, _Known] = {}

    def attest(self, workload: Workload) -> tuple[Selector, ...] | Awaitable[tuple[Selector, ...]]:
        if self._settings.discover_workload_path:
            return self._attest_program(workload)
        return self._attest_credentials(workload)

    def _attest_credentials(self, workload: Workload) -> tuple[Selector, ...]:
        lines = self._read_credentials(workload.pid)
        known = self._known.get(lines)
        now = self._monotonic()
        if known is None or known.until <= now:
            known = self._learn(lines, known, now)
        # A process may leave its socket to a child and then run a setuid program: its status is
        # that program's from then on, and the child would be taken for its user.
        if known.uid != workload.uid or known.gid != workload.gid:
            raise WorkloadAttestationError(
                f"user or group of process {workload.pid} changed since it connected; "
                "it has to connect again"
            )
        return known.selectors

    def _learn(self, lines: bytes, before: _Known | None, now: float) -> _Known:
        credentials = parse_credentials(lines)
        selectors = tuple(credential_selectors(credentials, self._accounts))
        if before is not None and before.selectors == selectors:
            selectors = before.selectors
        if len(self._known) >= _MAX_CACHED_CREDENTIALS:
            self._known.clear()
        known = _Known(now + TTL_SECONDS, credentials.uid, credentials.gid, selectors)
        self._known[lines] = known
        return known

    def _read_credentials(self, pid: int) -> bytes:
        """Return the Uid, Gid and Groups lines of the process's status."""
        try:
            fd = os.open(f"{self._proc}/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _gone(pid, error) from None
        try:
            status = os.read(fd, _STATUS_BYTES)
            while status.find(b"\n", status.find(b"\nGroups:") + 1) < 0:
                more = os.read(fd, _STATUS_BYTES)
                if not more:
                    break
                status += more
        except OSError as error:
            raise _gone(pid, error) from None
        finally:
            os.close(fd)
        return credential_lines(status)

    async def _attest_program(self, workload: Workload) -> tuple[Selector, ...]:
        selectors = self._attest_credentials(workload)
        # The program may be large and its file system slow: never on the event loop.
        more = await asyncio.to_thread(
            program_selectors,
            f"{self._proc}/{workload.pid}/exe",
            self._settings.workload_size_limit,
        )
        return (*selectors, *more)


def credential_lines(status: bytes) -> bytes:
    """Return the Uid, Gid and Groups lines of a /proc/<pid>/status, and nothing between them.

    The lines between change from process to process and would make equal callers look different.
    Raises WorkloadAttestationError.
    """
    uid = status.find(b"\nUid:\t")
    gid = status.find(b"\nGid:\t", uid)
    groups = status.find(b"\nGroups:", gid)
    end = status.find(b"\n", groups + 1)
    if min(uid, gid, groups, end) < 0:
        raise WorkloadAttestationError("status of the process has no credentials")
    return status[uid : status.find(b"\n", gid + 1)] + status[groups:end]


def parse_credentials(lines: bytes) -> Credentials:
    r"""Read the lines `Uid:\treal\teffective…`, `Gid:` likewise and `Groups:\ta b c`.

    Raises WorkloadAttestationError when a line is not as proc(5) has it.
    """
    fields: dict[bytes, list[bytes]] = {}
    for line in lines.splitlines():
        name, _, rest = line.partition(b":")
        fields[name] = rest.split()
    try:
        return Credentials(
            uid=int(fields[b"Uid"][1]),
            gid=int(fields[b"Gid"][1]),
            groups=tuple(int(group) for group in fields[b"Groups"]),
        )
    except (KeyError, IndexError, ValueError):
        raise WorkloadAttestationError("status of the process has malformed credentials") from None


def credential_selectors(credentials: Credentials, accounts: Accounts) -> list[Selector]:
    """Return the selectors for credentials; a number without a name has only its number."""
    found = [Selector(TYPE, f"uid:{credentials.uid}")]
    if (user := accounts.user(credentials.uid)) is not None:
        found.append(Selector(TYPE, f"user:{user}"))
    found.append(Selector(TYPE, f"gid:{credentials.gid}"))
    if (group := accounts.group(credentials.gid)) is not None:
        found.append(Selector(TYPE, f"group:{group}"))
    for gid in credentials.groups:
        found.append(Selector(TYPE, f"supplementary_gid:{gid}"))
        if (name := accounts.group(gid)) is not None:
            found.append(Selector(TYPE, f"supplementary_group:{name}"))
    return found


def program_selectors(exe: str, size_limit: int) -> list[Selector]:
    """Return path and sha256 of the program behind a `/proc/<pid>/exe` link; blocking.

    The hash is of the file the process runs, even if another one stands at its path by now.
    Raises WorkloadAttestationError when it cannot be read, or is over the limit in bytes.
    """
    try:
        path = os.readlink(exe)  # noqa: PTH115 - Path.readlink would normalise what the kernel says
        found = [Selector(TYPE, f"path:{path}")]
        if size_limit >= 0:
            found.append(Selector(TYPE, f"sha256:{_sha256(exe, size_limit)}"))
    except OSError as error:
        raise WorkloadAttestationError(
            f"cannot read the program behind {exe}: {error.strerror}"
        ) from None
    return found


def _sha256(exe: str, size_limit: int) -> str:
    digest = hashlib.sha256()
    with Path(exe).open("rb", buffering=0) as program:
        size = os.fstat(program.fileno()).st_size
        if 0 < size_limit < size:
            raise WorkloadAttestationError(
                f"program behind {exe} is larger than workload_size_limit ({size_limit} bytes)"
            )
        while chunk := program.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _gone(pid: int, error: OSError) -> WorkloadAttestationError:
    return WorkloadAttestationError(f"cannot examine process {pid}: {error.strerror}")
