"""What a signer does to itself before it sees a key (Linux)."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def harden() -> None:
    """Keep other processes of the same user out of this one's memory, and write no core file.

    Raises:
        OSError: the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)  # no ptrace, no /proc/PID/mem except for root
    for number in _IGNORED:
        # The parent drains first, and a signer that is gone could not sign for it. It ends when
        # its link is closed, which no way for the parent to die can avoid.
        signal.signal(number, signal.SIG_IGN)
    # Siblings that a signer starts are its children; they are reaped by the kernel.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def die_with_parent(parent: int) -> None:
    """Be killed when the process `parent`, which must be this one's own parent, ends.

    Raises:
        OSError: the kernel refuses.
        SystemExit: the parent has already ended.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        raise SystemExit(1)


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl option {option}: {os.strerror(number)}")
