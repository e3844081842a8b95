"""Where `finial up` keeps things, and what it calls them. The folder holds all that survives."""

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from finial.runtime.durable import DurableError, make_folder
from finial.spiffe import SpiffeId, TrustDomain

LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path that every client can take; the kernel ends at 107."""


@dataclass(frozen=True)
class Place:
    """Paths of one folder. `sockets` is another folder when the paths would be too long."""

    folder: Path
    sockets: Path

    @property
    def server_data(self) -> Path:
        return self.folder / "server"

    @property
    def agent_data(self) -> Path:
        return self.folder / "agent"

    @property
    def server_socket(self) -> Path:
        return self.sockets / "server.sock"

    @property
    def agent_socket(self) -> Path:
        return self.sockets / "agent.sock"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle.pem"

    @property
    def state(self) -> Path:
        return self.folder / "up.json"

    @property
    def join_token(self) -> Path:
        return self.folder / "join-token"

    def config(self, who: str) -> Path:
        """The configuration file of `server` or `agent`."""
        return self.folder / f"{who}.toml"

    def log(self, who: str) -> Path:
        """What that process prints."""
        return self.folder / f"{who}.log"

    @property
    def sockets_moved(self) -> bool:
        """Whether the sockets are outside of the folder."""
        return self.sockets != self.folder


def place_at(folder: Path, runtime_folder: Path) -> Place:
    """The place for a folder; the sockets go below `runtime_folder` when they must."""
    folder = folder.absolute()
    if len(os.fsencode(folder / "server.sock")) <= LONGEST_SOCKET:
        return Place(folder, folder)
    short = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Place(folder, runtime_folder / f"finial-{os.getuid()}-{short}")


def prepare(place: Place) -> None:
    """Make the folders, for this user alone; raises DurableError."""
    for folder in (place.folder, place.sockets, place.server_data, place.agent_data):
        make_folder(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DurableError(f"cannot write to {folder}: name another folder with -dir")
    if place.sockets_moved:
        _own_alone(place.sockets)


def _own_alone(folder: Path) -> None:
    """Refuse a folder in a shared place that somebody else made, or could enter."""
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise DurableError(f"{folder} is not this user's alone: remove it, or shorten -dir")


def user_id(trust_domain: TrustDomain, user: str) -> SpiffeId:
    """The identity of this user's processes."""
    return SpiffeId.of(trust_domain, f"/user/{segment(user)}")


def node_id(trust_domain: TrustDomain) -> SpiffeId:
    """The alias of this machine's agent: it stays when the agent has to join anew."""
    return SpiffeId.of(trust_domain, f"/node/{segment(socket.gethostname())}")


def segment(name: str) -> str:
    """The name as a path segment (SPIFFE-ID section 2.2)."""
    clean = re.sub(r"[^a-zA-Z0-9._-]", "-", name)
    return clean if clean.strip(".") else "unnamed"
