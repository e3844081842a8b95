"""What a signer does to itself, seen from inside a process that does it."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, resource, signal, sys
from finial.server.signer import hardening
{act}
libc = ctypes.CDLL(None)
dumpable = libc.prctl(3, 0, 0, 0, 0)
end = ctypes.c_int()
libc.prctl(2, ctypes.byref(end), 0, 0, 0)
ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
print(dumpable, end.value, resource.getrlimit(resource.RLIMIT_CORE), ignored)
"""


def outcome(act: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(act=act)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_cannot_be_looked_into_leaves_no_core_and_stays_through_a_signal() -> None:
    assert outcome("hardening.harden()").stdout == "0 0 (0, 0) True\n"
    assert outcome("").stdout.startswith("1 0 ")


def test_it_dies_with_the_process_that_started_it() -> None:
    found = outcome("hardening.die_with_parent(os.getppid())")
    assert found.stdout.startswith("1 9 ")


@pytest.mark.parametrize("parent", [1_000_000, 0])
def test_it_does_not_outlive_a_parent_that_has_already_gone(parent: int) -> None:
    found = outcome(f"hardening.die_with_parent({parent})")
    assert (found.returncode, found.stdout) == (1, "")
