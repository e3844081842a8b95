"""One signer as the event loop sees it: frames out, replies in, and its end."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from finial.api.finial import signer_pb2
from finial.server.signer.framing import READ_SIZE, FrameError, FrameReader, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class SignerLink:
    """The API process's end of the socket pair to one signer.

    Every request's callback is called once: with the reply, or with None when the signer is gone.
    All methods belong to the event loop's thread.
    """

    def __init__(self, end: socket.socket, lost: Callable[[SignerLink], None]) -> None:
        end.setblocking(False)
        self.pid = 0
        """The signer's process ID, once it is known."""
        self.waiting = 0
        """Requests without a reply."""
        self.retired = False
        """Whether it gets no new work, since it no longer hears of new keys."""
        self._socket = end
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._last_id = 0
        self._callbacks: dict[int, Callable[[signer_pb2.Reply | None], None]] = {}
        self._outgoing: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._looked_at = 0
        self._looks = 0
        self._began = 0.0
        self._spent = 0.0
        self._loop.add_reader(end.fileno(), self._read)

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def request(
        self,
        request: signer_pb2.Request,
        callback: Callable[[signer_pb2.Reply | None], None],
        descriptors: Sequence[int] = (),
    ) -> None:
        """Send a request; `descriptors` are the caller's to keep open until the reply."""
        if self.closed:
            callback(None)
            return
        self._last_id += 1
        request.id = self._last_id
        self._callbacks[self._last_id] = callback
        self.waiting += 1
        self._outgoing.append((memoryview(frame(request.SerializeToString())), descriptors))
        if len(self._outgoing) == 1:
            self._write()

    async def ask(
        self, request: signer_pb2.Request, descriptors: Sequence[int] = ()
    ) -> signer_pb2.Reply | None:
        """Send a request and wait for the reply; None when the signer is gone."""
        answer: asyncio.Future[signer_pb2.Reply | None] = self._loop.create_future()

        def answered(reply: signer_pb2.Reply | None) -> None:
            if not answer.done():
                answer.set_result(reply)

        self.request(request, answered, descriptors)
        return await answer

    def hangs(self, most_looks: int, most_work: float) -> bool:
        """Look whether the signer has stopped answering; to be asked again and again.

        It has when the same request waited longest in `most_looks` looks in a row without being
        worked on, or took more than `most_work` seconds of processor time. Neither is counted in
        seconds of a clock: a busy machine is no reason to end a signer, which may hold the only
        keys, and after the whole machine stood still there is one look, and then the replies that
        were on their way.
        """
        oldest = next(iter(self._callbacks), 0)
        spent = _processor_time(self.pid) if oldest else 0.0
        if oldest != self._looked_at:
            self._looked_at, self._began, self._looks = oldest, spent, 0
        elif spent != self._spent:
            self._looks = 0
        self._spent = spent
        self._looks += oldest > 0
        return self._looks >= most_looks or spent - self._began > most_work

    def kill(self) -> None:
        """End a signer that does not answer, whatever state it is in, and let it go.

        As long as its end of the link is open it lives, and so the PID is its own. That is looked
        at here: the end can have come unnoticed, behind replies that were not read yet, and the PID
        be another's by now.
        """
        if self.pid and not self.closed and self._other_end_is_open():
            # In the moment since then it can still have ended.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Let the signer go; it ends by itself. Outstanding callbacks get None."""
        if self.closed:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._outgoing.clear()
        callbacks, self._callbacks = self._callbacks, {}
        self.waiting = 0
        self._lost(self)
        for callback in callbacks.values():
            callback(None)

    def _other_end_is_open(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, 0)  # a hang-up is told unasked
        return not poll.poll(0)

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
            frames = list(self._reader.feed(data))
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, FrameError):
            data, frames = b"", []
        for payload in frames:
            reply = signer_pb2.Reply.FromString(payload)
            callback = self._callbacks.pop(reply.id, None)
            if callback is not None:
                self.waiting -= 1
                callback(reply)
        if not data:
            self.close()

    def _write(self) -> None:
        try:
            while self._outgoing:
                data, descriptors = self._outgoing[0]
                sent = (
                    socket.send_fds(self._socket, [data], list(descriptors))
                    if descriptors
                    else self._socket.send(data)
                )
                if sent == len(data):
                    self._outgoing.popleft()
                else:  # descriptors have gone with the first byte
                    self._outgoing[0] = (data[sent:], ())
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._socket.fileno(), self._write_more)
        except OSError:
            self.close()

    def _write_more(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._write()


def _processor_time(pid: int) -> float:
    """Seconds that a process has worked so far; 0 where the system does not say."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) has it on Linux
    except OSError:
        return 0.0
