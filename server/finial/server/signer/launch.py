"""Starting a signer: a program of its own, never a copy of the process that starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LINK = "--link"
"""Descriptor of the socket to the API process."""

PARENT = "--parent"
"""PID of the API process, with which a first signer dies."""

SIBLING = "--sibling"
"""Descriptor of the socket to the signer that starts this one."""


def exec_signer(
    arguments: Sequence[str], descriptors: Sequence[int], errors: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a signer that inherits those descriptors and, as standard error, `errors`.

    Nothing of the environment but Python's own search path goes with it: no preload, no debug
    hook, no secret of the server's. A session of its own keeps a terminal's ^C away from it.

    Raises:
        OSError: the program cannot be started.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "finial.server.signer", *arguments],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={"PYTHONPATH": _search_path()},
        cwd="/",
        start_new_session=True,
    )


def _search_path() -> str:
    """The folders this process imports from, whichever way it was told of them."""
    return os.pathsep.join(os.path.abspath(folder) for folder in sys.path if folder)  # noqa: PTH100
