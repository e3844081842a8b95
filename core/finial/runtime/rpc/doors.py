"""Who is let in: connections are counted, answered or let go here, before HTTP/2 or TLS begins.

On a Unix socket the event loop accepts and the decision is the first thing that happens to a
connection. On TCP we accept ourselves, because no loop tells who has connected before TLS has been
spoken, and a handshake is what a refusal is to save.
"""

import asyncio
import errno
import logging
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, cast

from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame

from finial.runtime.rpc.admission import Admission, Reason, TurnedAway, name_of, network_of
from finial.runtime.rpc.callers import UnixCaller, credentials, unix_caller
from finial.runtime.rpc.sockets import BACKLOG, first_reserved, raise_descriptor_limit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from finial.runtime.rpc.timers import Timer, Timers

_log = logging.getLogger(__name__)

_MOST_BURST = 64  # accepted in one go: connections that are open already want their turn, too
_PAUSE = 1.0
_STARVED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_LEFT = (BlockingIOError, InterruptedError, ConnectionAbortedError)
# Closing then discards what the peer has sent and keeps nothing of the connection in the kernel.
_RESET = struct.pack("ii", 1, 0)

_PER_UID = Reason("too many connections of one user", "raise connections_per_uid")
_PER_ADDRESS = Reason("too many connections of one address", "raise connections_per_address")
_DESCRIPTORS = Reason("too few file descriptors are left", "raise RLIMIT_NOFILE (LimitNOFILE)")
_HANDSHAKE = Reason("TLS handshake failed", level=logging.INFO)
_CANNOT = Reason("cannot accept")


def _goodbye(text: bytes) -> bytes:
    """Return all that a client hears that is refused: none of its requests was looked at.

    No SETTINGS come first, as RFC 9113 section 3.4 has it: by them grpcio and grpc-go take the
    connection for a good one, forget their back-off, and are here again at once, 40 times a call.
    """
    code = int(ErrorCodes.ENHANCE_YOUR_CALM)
    return GoAwayFrame(0, last_stream_id=0, error_code=code, additional_data=text).serialize()


_GOODBYES = {
    _PER_UID: _goodbye(b"too many connections of this user"),
    _DESCRIPTORS: _goodbye(b"no room for more connections"),
}


class Bounds(Protocol):
    """What a door asks of the limits of what is behind it."""

    @property
    def connections_per_uid(self) -> int: ...
    @property
    def connections_per_address(self) -> int: ...
    @property
    def reserved_descriptors(self) -> int: ...
    @property
    def handshake_timeout(self) -> float: ...


class Entering(Protocol):
    """A connection that was let in and is not open yet; `adopted` once a transport has it."""

    who: int | str
    adopted: bool

    def adopt(self) -> asyncio.Protocol | asyncio.BufferedProtocol:
        """Return itself, to the loop that makes its transport."""
        ...

    def settle(self) -> None:
        """Give back what was taken at accept, if the connection never came to be."""
        ...


class House(Protocol):
    """What is behind a door: a server, of whatever protocol."""

    admission: Admission
    turned_away: TurnedAway
    timers: "Timers"

    @property
    def limits(self) -> Bounds: ...

    def entering(self, who: int | str, peer: UnixCaller | str, tls: "Tls | None") -> Entering:
        """Return a connection for a caller that is let in, counted under `who` by now."""
        ...


class Tls(Protocol):
    """Gives the context for the next connection; raises ValueError or OSError when it cannot."""

    def context(self) -> "ssl.SSLContext": ...


class Door(Protocol):
    """A way in, open from when it is made until `close`."""

    def close(self) -> None:
        """Accept no more, and give up on those that have not said a word of HTTP yet."""

    async def closed(self) -> None:
        """Wait for the end of what `close` gave up on."""


class UnixDoor(asyncio.Protocol):
    """The first protocol of every connection to a Unix socket, and one for all of them."""

    def __init__(self, server: House, goodbye: "Callable[[Reason], bytes]") -> None:
        self._server = server
        self._goodbye = goodbye
        self._top = first_reserved(raise_descriptor_limit(), server.limits.reserved_descriptors)
        self._listener: asyncio.Server | None = None

    @classmethod
    async def open(
        cls,
        server: House,
        sock: socket.socket,
        goodbye: "Callable[[Reason], bytes]" = _GOODBYES.__getitem__,
    ) -> "UnixDoor":
        """Accept on `sock`; `goodbye` is what one hears who is turned away."""
        door = cls(server, goodbye)
        loop = asyncio.get_running_loop()
        door._listener = await loop.create_unix_server(lambda: door, sock=sock, backlog=BACKLOG)
        return door

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()

    async def closed(self) -> None: ...

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = cast("asyncio.Transport", transport)
        try:
            self._decide(accepted, accepted.get_extra_info("socket"))
        except OSError:  # it has gone already
            accepted.abort()

    def _decide(self, transport: asyncio.Transport, sock: socket.socket) -> None:
        server = self._server
        ids = credentials(sock)
        uid = ids[1]
        if sock.fileno() >= self._top:
            self._turn_away(transport, _DESCRIPTORS, uid)
            return
        if not server.admission.enter(uid, server.limits.connections_per_uid):
            self._turn_away(transport, _PER_UID, uid)
            return
        caller = unix_caller(sock, ids)
        connection = server.entering(uid, caller, None)
        if caller.pidfd is not None and caller.pidfd >= self._top:
            connection.settle()
            self._turn_away(transport, _DESCRIPTORS, uid)
            return
        protocol = connection.adopt()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    def _turn_away(self, transport: asyncio.Transport, reason: Reason, uid: int) -> None:
        transport.write(self._goodbye(reason))
        transport.close()
        self._server.turned_away.note(reason, name_of(uid))


class TcpDoor:
    """Accepts on `sock`, which is listening, and starts TLS with those that are let in.

    Without `tls` there is none.
    """

    def __init__(self, server: House, sock: socket.socket, tls: Tls | None) -> None:
        self._server = server
        self._sock = sock
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._top = first_reserved(raise_descriptor_limit(), server.limits.reserved_descriptors)
        self._spare = _spare()
        self._paused: Timer | None = None
        self._burst = 1
        self._opening: dict[Entering, tuple[asyncio.Task[None], socket.socket]] = {}
        self._given_up: list[asyncio.Task[None]] = []
        self._options: dict[str, Any] = {}
        if tls is not None:
            self._options = {
                "ssl_handshake_timeout": server.limits.handshake_timeout,
                "ssl_shutdown_timeout": 2.0,
            }
        self._loop.add_reader(sock, self._accept)

    @property
    def port(self) -> int:
        port: int = self._sock.getsockname()[1]
        return port

    def close(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
        else:
            self._loop.remove_reader(self._sock)
        self._sock.close()
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        opening, self._opening = self._opening, {}
        for connection, (task, sock) in opening.items():
            task.cancel()
            self._given_up.append(task)
            if not connection.adopted:  # the task has not begun, and will not
                sock.close()
                connection.settle()

    async def closed(self) -> None:
        await asyncio.gather(*self._given_up, return_exceptions=True)

    # -- accepting -------------------------------------------------------------------------

    def _accept(self) -> None:
        """Accept as many as seem to be waiting: to ask for one that is not there costs, too."""
        for count in range(self._burst):
            try:
                sock, address = self._sock.accept()
            except _LEFT:
                self._burst = count or 1
                return
            except OSError as error:
                if error.errno not in _STARVED or not self._accept_on_spare():
                    self._pause(error)
                    return
            else:
                self._decide(sock, address)
        self._burst = min(2 * self._burst, _MOST_BURST)

    def _decide(self, sock: socket.socket, address: Any) -> None:
        server = self._server
        who = network_of(address[0])
        if sock.fileno() >= self._top:
            self._turn_away(sock, _DESCRIPTORS, who)
        elif not server.admission.enter(who, server.limits.connections_per_address):
            self._turn_away(sock, _PER_ADDRESS, who)
        else:
            connection = server.entering(who, _text_of(address), self._tls)
            task = self._loop.create_task(self._open(sock, connection))
            self._opening[connection] = (task, sock)

    def _turn_away(self, sock: socket.socket, reason: Reason, who: str) -> None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()
        self._server.turned_away.note(reason, who)

    async def _open(self, sock: socket.socket, connection: Entering) -> None:
        """Shake hands; the connection is told when that is done."""
        try:
            tls = None if self._tls is None else self._tls.context()
            await self._loop.connect_accepted_socket(
                connection.adopt, sock, ssl=tls, **self._options
            )
        except (ConnectionResetError, BrokenPipeError):
            pass  # it has left; nobody was refused
        except OSError as error:
            self._server.turned_away.note(_HANDSHAKE, name_of(connection.who), str(error))
        except Exception:  # noqa: BLE001  # one connection's, and nobody waits for this task
            _log.exception("cannot open a connection")
        finally:
            self._opening.pop(connection, None)
            if not connection.adopted:  # no transport has the socket
                sock.close()
            connection.settle()

    # -- when descriptors run out ----------------------------------------------------------

    def _accept_on_spare(self) -> bool:
        """Refuse one connection by the descriptor that is kept for it; False when that fails."""
        if self._spare is None:
            return False
        os.close(self._spare)
        try:
            sock, address = self._sock.accept()
            self._turn_away(sock, _DESCRIPTORS, network_of(address[0]))
        except _LEFT:
            return True
        except OSError:
            return False
        else:
            return True
        finally:
            self._spare = _spare()

    def _pause(self, error: OSError) -> None:
        """Leave the socket alone for a while: it stays readable, and would be all that we read."""
        self._server.turned_away.note(_CANNOT, "all", str(error))
        self._loop.remove_reader(self._sock)
        self._paused = self._server.timers.after(_PAUSE, self._resume)

    def _resume(self) -> None:
        self._paused = None
        self._spare = self._spare or _spare()
        self._loop.add_reader(self._sock, self._accept)


def _spare() -> int | None:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _text_of(address: Any) -> str:
    """Return a TCP peer's address as gRPC writes them."""
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
