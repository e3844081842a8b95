"""Commands that call a server, on a Unix socket as a rule."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc.aio

from finial.runtime.cli.command import Command
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError, rpc_failure
from finial.runtime.cli.flags import Flag, Values, chosen
from finial.runtime.cli.output import json_line
from finial.runtime.cli.sockets import UNIX, Socket
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel

TIMEOUT = 60.0
"""Seconds that a call may take; a stuck server must not hold a script for ever."""
OUTPUT = chosen(
    "output", "Format of the output (pretty, json); default: pretty.", ("pretty", "json"), ""
)


@dataclass(frozen=True)
class Call:
    """What a client command works with: its flags, its console, and a channel to the socket.

    `hint` is a second line for a refusal, with the way out, or empty.
    """

    values: Values
    console: Console
    channel: grpc.aio.Channel
    hint: Callable[[Any], str]

    @property
    def wants_json(self) -> bool:
        """Whether -output json was asked for."""
        return self.values.text("output") == "json"

    def answer(self, document: Any, pretty: Callable[[Console], None]) -> None:
        """Print a message (or plain JSON value) as one line of JSON, or let `pretty` print it."""
        if self.wants_json:
            self.console.show(json_line(document))
        else:
            pretty(self.console)

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Put `what` before the text of a call that is refused inside; raises FailureError."""
        try:
            yield
        except grpc.RpcError as error:
            raise FailureError(f"{what}{failure_text(error)}{self.hint(error)}") from None


Handler = Callable[[Call], Awaitable[int | None]]


def client_command(
    name: str,
    where: Socket,
    handler: Handler,
    *,
    flags: tuple[Flag, ...],
    failure_prefix: str = "Error: ",
) -> Command:
    """A command whose `handler` calls a socket; RPC failures become text and exit code 1."""

    def run(values: Values, console: Console) -> int:
        target = where.target(values, console.env)
        return asyncio.run(call_target(target, where.start, values, console, handler))

    return Command(name, flags, run, failure_prefix)


async def call_target(
    target: str, start: str, values: Values, console: Console, handler: Handler
) -> int:
    """Open a channel, run the handler, close; raises FailureError with the text of a refusal."""
    channel = Channel(target, clock=SystemClock())
    call = Call(values, console, channel, lambda error: hint(error, target, start))
    try:
        with call.doing(""):
            return await handler(call) or 0
    finally:
        await channel.close()


def failure_text(error: Any) -> str:
    """The text of an RpcError."""
    return rpc_failure(error.code().name, error.details() or "")


def hint(error: Any, target: str, start: str) -> str:
    """A second line for a call that reached nobody, with the way out; empty where none helps."""
    if error.code().name != "UNAVAILABLE" or not target.startswith(UNIX):
        return ""
    complaint = _complaint(target.removeprefix(UNIX), start)
    return f"\n{complaint}" if complaint else ""


def _complaint(path: str, start: str) -> str:
    """What keeps this process from connecting; empty when nothing does."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return f"nothing listens on {path}: start it with `{start}`, or set -socketPath"
        except PermissionError:
            return f"this user may not use {path}: run as a user that may"
        except ConnectionRefusedError:
            return f"whoever made {path} has stopped: start it again with `{start}`"
        except OSError as error:
            return f"{path}: {(error.strerror or str(error)).lower()}"
    return ""
