"""The signer's process: sockets, siblings, and the loop that waits for requests."""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING

from finial.api.finial import signer_pb2
from finial.server.signer import complaints, launch
from finial.server.signer.framing import READ_SIZE, FrameReader, frame
from finial.server.signer.service import SignerService

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_DESCRIPTORS = 4


class _Inbox:
    """One socket, read into frames and the descriptors that came with them."""

    def __init__(self, link: socket.socket) -> None:
        self.socket = link
        self.descriptors: list[int] = []
        self._reader = FrameReader()

    def read(self) -> list[bytes] | None:
        """Whole frames, perhaps none yet; None once the other end is closed."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, READ_SIZE, _MAX_DESCRIPTORS)
        except ConnectionError:
            return None
        for each in descriptors:
            os.set_inheritable(each, False)
        self.descriptors += descriptors
        return list(self._reader.feed(data)) if data else None

    def take_descriptors(self) -> list[int]:
        """Those that came since the last call; the taker closes them."""
        taken, self.descriptors = self.descriptors, []
        return taken


class SignerProcess:
    """Serves one API process until it closes the link."""

    def __init__(
        self, link: socket.socket, sibling: socket.socket | None, now: Callable[[], float]
    ) -> None:
        self._link = _Inbox(link)
        self._elder = _Inbox(sibling) if sibling else None
        self._younger: list[socket.socket] = []
        self._service = SignerService(now=now, share=self._share, spawn=self._spawn)

    def run(self) -> None:
        """Serve; returns when the API process is gone."""
        while self._elder and not self._service.ready:
            self._hear_elder()  # policy and keys before the first request
        while True:
            self._wait()
            if not self._serve():
                return

    def _wait(self) -> None:
        """Block until the link has something; what the elder says meanwhile is heard."""
        while True:
            poll = select.poll()
            poll.register(self._link.socket, select.POLLIN)
            if self._elder:
                poll.register(self._elder.socket, select.POLLIN)
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._link.socket.fileno() in ready:
                return
            self._hear_elder()

    def _serve(self) -> bool:
        """Answer what has come; False when the API process is gone."""
        frames = self._link.read()
        if frames is None:
            return False
        # A new key is on its way here before the API process hears of it: whatever is asked for
        # by a request that has been read can by now be read from the elder, too.
        self._catch_up()
        for payload in frames:
            reply = self._answer(signer_pb2.Request.FromString(payload))
            try:
                self._link.socket.sendall(frame(reply.SerializeToString()))
            except ConnectionError:
                return False
        return True

    def _answer(self, request: signer_pb2.Request) -> signer_pb2.Reply:
        descriptors = self._link.take_descriptors() if request.HasField("spawn") else []
        try:
            return self._service.answer(request, descriptors)
        finally:
            for each in descriptors:
                os.close(each)

    def _catch_up(self) -> None:
        while self._elder and _has_data(self._elder.socket):
            self._hear_elder()

    def _hear_elder(self) -> None:
        """Read what the signer that started this one shares, and notice its end.

        Raises:
            SystemExit: it ended before it said what the policy is.
        """
        assert self._elder is not None
        frames = self._elder.read()
        for payload in frames or ():
            self._service.join(signer_pb2.Share.FromString(payload))
        if frames is None:
            self._elder.socket.close()
            self._elder = None
            if not self._service.ready:
                raise SystemExit(1)

    def _share(self, share: signer_pb2.Share) -> None:
        data = frame(share.SerializeToString())
        for younger in tuple(self._younger):
            try:
                younger.sendall(data)
            except OSError:
                self._younger.remove(younger)
                younger.close()

    def _spawn(self, link: int, share: signer_pb2.Share) -> int:
        """Start a signer on that link to the API process and tell it everything.

        The new one's standard error is this one's. It outlives this one, and with it the keys.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = (link, theirs.fileno())
            arguments = [launch.LINK, str(link), launch.SIBLING, str(theirs.fileno())]
            child = launch.exec_signer(arguments, descriptors)
        child.returncode = 0  # the kernel reaps it; nobody will ask
        ours.sendall(frame(share.SerializeToString()))
        self._younger.append(ours)
        return child.pid


def _has_data(link: socket.socket) -> bool:
    poll = select.poll()
    poll.register(link, select.POLLIN)
    return bool(poll.poll(0))


def serve(link: socket.socket, sibling: socket.socket | None, now: Callable[[], float]) -> None:
    """Run a signer on its sockets until the API process is gone."""
    complaints.prepare()
    SignerProcess(link, sibling, now).run()
