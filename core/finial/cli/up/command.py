"""The command: its flags, its errors, and staying up until told to stop."""

import asyncio
import os
import pwd
import tempfile
from dataclasses import replace
from pathlib import Path

import grpc

from finial.cli.up.place import Place, place_at, prepare
from finial.cli.up.port import free_port
from finial.cli.up.report import show, show_json
from finial.cli.up.session import Session, User, session
from finial.cli.up.state import load
from finial.runtime import tasks
from finial.runtime.cli.client import OUTPUT, failure_text
from finial.runtime.cli.command import Command
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import Values, boolean, integer, text
from finial.runtime.clock import SystemClock
from finial.runtime.durable import DurableError, FolderLock, FolderLockedError


def run(values: Values, console: Console) -> int:
    """Start, show, stay; returns 0 when stopped by a signal."""
    place = place_at(Path(values.text("dir")), _runtime_folder(console))
    try:
        prepare(place)
        with FolderLock(place.folder):
            # asyncio's own loop: uvloop adds nothing here, and children need its fork hook.
            tasks.run(lambda: _up(values, console, place), loop="asyncio")
    except FolderLockedError as error:
        holder = f" (process {error.pid})" if error.pid else ""
        raise FailureError(
            f"`finial up` is running in {place.folder} already{holder}: "
            "use that one, stop it first, or name another folder with -dir"
        ) from None
    except DurableError as error:
        raise FailureError(str(error)) from None
    except grpc.RpcError as error:
        raise FailureError(failure_text(error)) from None
    return 0


async def _up(values: Values, console: Console, place: Place) -> None:
    state = load(place.state, values.text("trust-domain"))
    state = replace(state, port=free_port(values.integer("port"), state.port))
    if place.sockets_moved:
        console.warn(f"The path of {place.folder} is too long for sockets: see {place.sockets}.")
    async with session(place, state, _user(), SystemClock()) as running:
        stays = not values.boolean("once")
        if values.text("output") == "json":
            show_json(console, running)
        else:
            show(console, running, stays=stays)
        if stays:
            await _stay(console, running)


async def _stay(console: Console, running: Session) -> None:
    """Wait for a signal, which cancels this; raises FailureError when the server ends.

    An agent may end because it was banned or evicted, which somebody may well want to see: the
    server stays.
    """
    server = asyncio.ensure_future(running.server.wait())
    agent = asyncio.ensure_future(running.agent.wait())
    try:
        await asyncio.wait({server, agent}, return_when=asyncio.FIRST_COMPLETED)
        if not server.done():
            console.warn(f"{running.agent.failure()}\n\nThe server stays up until Ctrl-C.")
            await server
        raise running.server.failure()
    finally:
        server.cancel()
        agent.cancel()


def _user() -> User:
    uid = os.getuid()
    try:
        return User(pwd.getpwuid(uid).pw_name, uid)
    except KeyError:  # a container's user need not have a name
        return User(f"uid-{uid}", uid)


def _runtime_folder(console: Console) -> Path:
    return Path(console.env.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())


COMMAND = Command(
    "up",
    (
        text("dir", "Folder for everything that survives", ".finial"),
        text("trust-domain", "Trust domain of a new folder; example.org when not given"),
        integer("port", "Port of the server; any free one when not given"),
        boolean("once", "Start, print one identity, stop"),
        OUTPUT,
    ),
    run,
)
