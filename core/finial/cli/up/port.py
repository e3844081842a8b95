"""A free port for the server."""

import contextlib
import socket

from finial.cli.up.settings import LOOPBACK
from finial.runtime.cli.failure import FailureError


def free_port(asked_for: int, last: int) -> int:
    """The port asked for, else the last one if it is free, else any that is.

    Raises FailureError when the one that was asked for is taken.
    """
    if asked_for:
        if not 0 < asked_for < 1 << 16:
            raise FailureError(f"{asked_for} is no port: use 1 to 65535")
        if not _bind(asked_for):
            raise FailureError(
                f"port {asked_for} is taken or not to be had: "
                "name another with -port, or leave it out"
            )
        return asked_for
    return (last and _bind(last)) or _bind(0)


def _bind(port: int) -> int:
    """The port if this process could have it, else 0; for 0 the one that the kernel gives."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return 0
        bound: int = probe.getsockname()[1]
        return bound
