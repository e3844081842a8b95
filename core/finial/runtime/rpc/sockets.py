"""Listening sockets: Unix ones that nobody can reach before their mode is set, and descriptors."""

import asyncio
import os
import resource
import socket
import stat
import sys
from pathlib import Path
from typing import Any

BACKLOG = 4096  # as many as the kernel keeps by default: a fleet comes at once


class SocketInUseError(OSError):
    """Another program answers where we were to listen."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one: a stream is a connection is a file.

    Returns the limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def first_reserved(limit: int, reserved: int) -> int:
    """Return the lowest descriptor that no connection may have.

    A new descriptor is the lowest free number (POSIX), so one from here on says that there are no
    more left than `reserved`: those are for the database, the logs and whatever else must not
    fail. Of a small `limit` a quarter is kept.
    """
    return limit - min(reserved, limit // 4)


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


async def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets, one for each address of `host`.

    Raises:
        OSError: an address is in use, or not ours.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[socket.socket] = []
    try:
        for family, *_, address in dict.fromkeys(found):
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            bound.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _bind_address(sock, address)
            sock.listen(BACKLOG)
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind_address(sock: socket.socket, address: Any) -> None:
    try:
        sock.bind(address)
    except OSError as error:
        text = f"cannot listen on {address[0]} port {address[1]}: {(error.strerror or '').lower()}"
        raise OSError(error.errno, text) from None


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
