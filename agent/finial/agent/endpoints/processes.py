"""Processes that did not call, but are named by their ID: pinned before they are attested.

Whoever has the ID now may be another process than the one that was meant; from here on at least it
stays the same one, and its end is noticed.
"""

from __future__ import annotations

import os

from finial.agent.endpoints.callers import attestation_failed
from finial.attestors.workload.interface import WorkloadAttestationError
from finial.attestors.workload.unix import credential_lines, default_proc, parse_credentials
from finial.runtime.rpc import UnixCaller
from finial.runtime.rpc.callers import open_pidfd


def pinned(pid: int) -> UnixCaller:
    """Return the process as if it had called just now; its `pidfd` is the receiver's to close.

    Raises StatusError (Unavailable) when there is no such process.
    """
    pidfd = open_pidfd(pid)
    if pidfd is None:
        raise attestation_failed()
    try:
        status = (default_proc() / str(pid) / "status").read_bytes()
        found = parse_credentials(credential_lines(status))
    except (OSError, WorkloadAttestationError):
        os.close(pidfd)
        raise attestation_failed() from None
    return UnixCaller(pid, found.uid, found.gid, pidfd)
