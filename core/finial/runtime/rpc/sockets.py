"""Listening sockets: Unix ones that nobody can reach before their mode is set, and descriptors."""

import os
import resource
import socket
import stat
from pathlib import Path

BACKLOG = 1024


class SocketInUseError(OSError):
    """Another program answers where we were to listen."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard one: a stream is a connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bind_unix(path: Path, *, mode: int, group: int | None) -> socket.socket:
    """Return a listening Unix socket of this mode and group.

    It is bound private and cannot be connected to before `listen`, which comes last. A socket
    file that nobody answers on is replaced.

    Raises:
        SocketInUseError: somebody answers there.
        OSError: the path is no socket, or cannot be bound.
    """
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        umask = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(umask)
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _clear(path: Path) -> None:
    """Remove a dead socket."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(f"{path} exists and is not a socket: remove it or configure another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
    raise SocketInUseError(f"another program answers on {path}: stop it or configure another path")


class BoundPath:
    """A socket file of ours, to be removed when we stop, unless it is another's by then."""

    __slots__ = ("_inode", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode = path.lstat().st_ino

    def remove(self) -> None:
        try:
            if self.path.lstat().st_ino == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            pass
