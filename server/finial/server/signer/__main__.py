"""The signer program, started by `finial.server.signer.launch` and by nobody else."""

from __future__ import annotations

import argparse
import socket
import time

from finial.server.signer import launch
from finial.server.signer.hardening import die_with_parent, harden
from finial.server.signer.process import serve


def main() -> None:
    """Run one signer until the server closes its link."""
    parser = argparse.ArgumentParser(prog="finial.server.signer", description=__doc__)
    parser.add_argument(launch.LINK, type=int, required=True)
    parser.add_argument(launch.SIBLING, type=int)
    parser.add_argument(launch.PARENT, type=int)
    arguments = parser.parse_args()
    harden()
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    link = _inherited(arguments.link)
    sibling = None if arguments.sibling is None else _inherited(arguments.sibling)
    serve(link, sibling, time.time)


def _inherited(descriptor: int) -> socket.socket:
    """A socket that was passed by number; no program started from here gets it in turn."""
    inherited = socket.socket(fileno=descriptor)
    inherited.set_inheritable(False)
    return inherited


if __name__ == "__main__":
    main()
