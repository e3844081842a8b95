"""Who is at the other end of a connection."""

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finial.spiffe.x509_svid import VerifiedX509Svid

# Linux 6.5; the socket module has no name for it.
_SO_PEERPIDFD = 77
_UCRED = Struct("3i")


@dataclass(frozen=True, slots=True)
class UnixCaller:
    """A process on this machine, as it was when it connected.

    `pidfd` is owned by the connection and closed with it. It is None where the kernel can give
    none that is surely this process's.
    """

    pid: int
    uid: int
    gid: int
    pidfd: int | None


@dataclass(frozen=True, slots=True)
class TlsCaller:
    """A peer over TLS; `svid` is None when it presented no certificate."""

    address: str
    svid: "VerifiedX509Svid | None"


Caller = UnixCaller | TlsCaller


def credentials(sock: socket.socket) -> tuple[int, int, int]:
    """Return PID, uid and gid of the process that connected `sock`."""
    pid, uid, gid = _UCRED.unpack(
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    return pid, uid, gid


def unix_caller(sock: socket.socket, ids: tuple[int, int, int] | None = None) -> UnixCaller:
    """Return the process that connected `sock`; `ids` are its credentials, where known."""
    pid, uid, gid = ids or credentials(sock)
    return UnixCaller(pid, uid, gid, _pidfd(sock, pid))


def _pidfd(sock: socket.socket, pid: int) -> int | None:
    try:
        return sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        # A kernel that has the option and still refuses says that the peer is gone (before Linux
        # 6.16): whoever has its PID by now did not connect.
        return open_pidfd(pid) if error.errno == errno.ENOPROTOOPT else None


def open_pidfd(pid: int) -> int | None:
    """Open a pidfd where the kernel cannot hand over the peer's own.

    The PID may have passed to another process since; equal start times before and after opening
    show that it did not do so in between, and the attestor compares the start time again.
    """
    before = start_time(pid)
    if before is None:
        return None
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    if start_time(pid) != before:
        os.close(fd)
        return None
    return fd


def start_time(pid: int) -> int | None:
    """Return field 22 of /proc/PID/stat, clock ticks since boot; None when there is no process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
