"""Starting signers from the API process, and hearing what they have to say to the operator."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from finial.api.finial import signer_pb2
from finial.runtime.logging import log
from finial.server.signer import launch
from finial.server.signer.errors import SignerStartError
from finial.server.signer.link import SignerLink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from finial.server.signer.model import SignerSettings

_LOGGER = logging.getLogger(__name__)
_LEVELS = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_READ_SIZE = 65_536
_PATIENCE = 5.0


class Nursery:
    """Starts signers; `lost` is told of each link that closes.

    It waits without a limit: whoever owns it looks whether the signers that are `starting`, and the
    elder that was asked for one, answer, and kills those that do not.
    """

    def __init__(self, settings: SignerSettings, lost: Callable[[SignerLink], None]) -> None:
        self._settings = settings
        self._lost = lost
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ears: set[Ear] = set()
        self.starting: set[SignerLink] = set()
        """Signers that run, and have not said yet that they are ready."""

    @property
    def started_before(self) -> bool:
        """Whether a first signer has been started already."""
        return bool(self._processes)

    async def first(self) -> tuple[SignerLink, int]:
        """Start a signer that has no elder; returns it and how many authorities it holds.

        Raises:
            SignerStartError: it can't be started, or refuses the key manager or its keys.
        """
        await self._reap()
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        arguments = [launch.LINK, str(theirs.fileno()), launch.PARENT, str(os.getpid())]
        try:
            process = launch.exec_signer(arguments, [theirs.fileno()], writing)
        except OSError as error:
            ours.close()
            os.close(reading)
            raise SignerStartError(f"cannot start a signer: {error.strerror}") from None
        finally:
            theirs.close()
            os.close(writing)
        self._processes.append(process)
        self._ears.add(Ear(reading, self._ears.discard))
        link = SignerLink(ours, self._lost)
        link.pid = process.pid
        with self._start_of(link):
            self.starting.add(link)
            return link, await self._configure(link)

    async def sibling(self, elder: SignerLink) -> SignerLink | None:
        """Have `elder` start another signer; None when that fails, with `elder` then closed."""
        ours, theirs = socket.socketpair()
        link = SignerLink(ours, self._lost)
        with theirs, self._start_of(link):
            request = signer_pb2.Request(spawn=signer_pb2.SpawnSignerProcess())
            reply = await elder.ask(request, [theirs.fileno()])
            theirs.close()  # so that the new signer's end is the only one
            if reply is not None and reply.HasField("spawned"):
                link.pid = reply.spawned.pid
                self.starting.add(link)
                listing = signer_pb2.ListAuthorities()
                ready = await link.ask(signer_pb2.Request(list_authorities=listing))
                if ready is not None and ready.HasField("authorities"):
                    return link
        link.close()
        elder.close()  # one that can't share its keys is no keeper
        return None

    async def close(self) -> None:
        """Wait until the signers that this process started have ended; kill one that doesn't."""
        for process in self._processes:
            await asyncio.to_thread(_end, process)
        for ear in tuple(self._ears):
            ear.close()

    @contextmanager
    def _start_of(self, link: SignerLink) -> Iterator[None]:
        """Let a signer go if its start fails or is cancelled."""
        try:
            yield
        except BaseException:
            link.close()
            raise
        finally:
            self.starting.discard(link)

    async def _configure(self, link: SignerLink) -> int:
        reply = await link.ask(signer_pb2.Request(configure=self._settings.to_message()))
        if reply is None:
            raise SignerStartError("the signer ended before it was ready; its reason is in the log")
        if reply.HasField("refusal"):
            raise SignerStartError(reply.refusal.message)
        return len(reply.authorities.authorities)

    async def _reap(self) -> None:
        """Collect the exit status of first signers that have ended, keeping the newest."""
        for process in self._processes[:-1]:
            if process.poll() is not None:
                self._processes.remove(process)
        for process in self._processes[-1:]:
            process.poll()


class Ear:
    """Logs what signers write to their standard error, which they share."""

    def __init__(self, descriptor: int, closed: Callable[[Ear], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._closed = closed
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    def close(self) -> None:
        """Log what is there, then stop listening."""
        if self._descriptor >= 0:
            self._read()
        self._stop()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            _pass_on(line)
        if not data:
            self._stop()

    def _stop(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._closed(self)


def _pass_on(line: bytes) -> None:
    """Log a signer's line as it meant it; anything else is a fault's traceback."""
    try:
        said = json.loads(line)
        level, message, fields = _LEVELS[said["level"]], str(said["message"]), dict(said["fields"])
    except (ValueError, TypeError, KeyError):
        log(_LOGGER, logging.ERROR, "a signer said", line=line.decode(errors="replace")[:1000])
        return
    log(_LOGGER, level, message, **{str(name): value for name, value in fields.items()})


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
