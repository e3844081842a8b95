"""One GET over TLS, of one document, from an address that was looked at before.

No redirect is followed, no proxy is taken from the environment, nothing is unpacked. A name is
resolved once and the connection goes to an address that came of it: to resolve it again would
let whoever answers for the name say something else the second time.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import h11

from finial.runtime.clock import Clock
from finial.runtime.rpc.tls import unverified_chain
from finial.runtime.web.limits import ClientLimits
from finial.runtime.web.resolve import Address, Resolve, SystemResolver

T = TypeVar("T")

_LIMITS = ClientLimits()
_PIECE = 65536
_MOST_TEXT = 200


class WebError(Exception):
    """A document could not be fetched; the text says why, and may be logged."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a document is.

    Attributes:
        host: a name or an address, without brackets.
        port: a TCP port.
        path: path and query, as the request has them.
    """

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host field: 443 is left out, as it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a GET: any final status. Header names are in lower case, the last one counts."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """How a server is judged.

    Attributes:
        context: for the handshake.
        verify: is given the chain (DER, leaf first) before a byte of HTTP is sent; raises
            ValueError to refuse it.
    """

    context: ssl.SSLContext
    verify: Callable[[Sequence[bytes]], object] | None = None


class WebClient:
    """Fetches documents of at most `most` bytes. `resolver` gives a name's addresses."""

    def __init__(
        self,
        *,
        clock: Clock,
        most: int,
        limits: ClientLimits = _LIMITS,
        resolver: Resolve | None = None,
    ) -> None:
        self._clock = clock
        self._most = most
        self._limits = limits
        self._resolve = resolver or SystemResolver()

    async def get(
        self, target: Target, trust: Trust, complaint: Callable[[Address], str]
    ) -> Answer:
        """Fetch a document.

        Args:
            target: where it is.
            trust: how the server is judged.
            complaint: says of an address why it may not be asked; empty when it may.

        Raises:
            WebError: it could not be had, for whatever reason, in `total_timeout`.
        """
        what = f"{target.host} does not answer in full"
        opened: list[asyncio.StreamWriter] = []
        fetching = self._get(target, trust, complaint, opened)
        try:
            return await self._within(self._limits.total_timeout, what, fetching)
        finally:
            for writer in opened:
                writer.transport.abort()

    async def _get(
        self,
        target: Target,
        trust: Trust,
        complaint: Callable[[Address], str],
        opened: list[asyncio.StreamWriter],
    ) -> Answer:
        refusals: list[str] = []
        for address in await self._addresses(target.host):
            refusal = complaint(address)
            if refusal:
                refusals.append(refusal)
                continue
            connecting = self._connect(address, target, trust, opened)
            what = f"{address} does not answer"
            try:
                reader = await self._within(self._limits.connect_timeout, what, connecting)
            except WebError as error:
                refusals.append(str(error))
                continue
            return await self._ask(reader, opened[-1], target)
        raise WebError("; ".join(refusals) or f"{target.host} has no address")

    async def _addresses(self, host: str) -> Sequence[Address]:
        try:
            return await self._resolve(host)
        except (OSError, UnicodeError, ValueError) as error:
            raise WebError(f"{host} cannot be resolved: {_text(error)}") from None

    async def _connect(
        self,
        address: Address,
        target: Target,
        trust: Trust,
        opened: list[asyncio.StreamWriter],
    ) -> asyncio.StreamReader:
        """Connect to exactly this address and judge who is there; `opened` is the caller's."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with _told(str(address)):
            try:
                await loop.sock_connect(sock, (str(address), target.port))
            except BaseException:
                sock.close()
                raise
            reader, writer = await asyncio.open_connection(
                sock=sock,
                ssl=trust.context,
                server_hostname=target.host,
                ssl_handshake_timeout=self._limits.connect_timeout,
            )
            opened.append(writer)
            if trust.verify is not None:
                trust.verify(unverified_chain(writer.get_extra_info("ssl_object")))
        return reader

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Target
    ) -> Answer:
        http = h11.Connection(h11.CLIENT, self._limits.max_head)
        request = h11.Request(
            method="GET",
            target=target.path,
            headers=[
                ("Host", target.authority),
                ("User-Agent", "finial"),
                ("Accept", "application/json"),
                ("Accept-Encoding", "identity"),
                ("Connection", "close"),
            ],
        )
        with _told(target.host):
            writer.write(http.send(request) or b"")
            writer.write(http.send(h11.EndOfMessage()) or b"")
            return await self._answer(http, reader, target.host)

    async def _answer(
        self, http: h11.Connection, reader: asyncio.StreamReader, host: str
    ) -> Answer:
        head: h11.Response | None = None
        body = bytearray()
        informational = 0
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(_PIECE)
                if not data and head is None:
                    raise WebError(f"{host} closes the connection without an answer")
                http.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                informational += 1
                if informational > self._limits.max_informational:
                    raise WebError(f"{host} never comes to its answer")
            elif isinstance(event, h11.Response):
                head = event
                self._check_head(head, host)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._most:
                    raise WebError(f"{host} answers with more than {self._most} bytes")
            else:
                break
        assert head is not None  # h11 ends no message that has not begun
        return Answer(head.status_code, _fields(head), bytes(body))

    def _check_head(self, head: h11.Response, host: str) -> None:
        fields = _fields(head)
        size = sum(len(name) + len(value) for name, value in head.headers)
        if size > self._limits.max_head:
            raise WebError(f"{host} answers with more than {self._limits.max_head} bytes of header")
        if fields.get("content-encoding", "identity").lower() != "identity":
            raise WebError(f"{host} answers with a packed body, for which it was not asked")
        if int(fields.get("content-length", "0")) > self._most:
            raise WebError(f"{host} answers with more than {self._most} bytes")

    async def _within(self, seconds: float, what: str, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` for so long on the injected clock, and cancel it then."""
        task = asyncio.ensure_future(work)
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise WebError(f"{what} within {seconds:g} s")
            return task.result()
        finally:
            for each in (task, alarm):
                each.cancel()
            await asyncio.gather(task, alarm, return_exceptions=True)


@contextmanager
def _told(who: str) -> Iterator[None]:
    """Whatever goes wrong with a connection becomes a WebError."""
    try:
        yield
    except (OSError, ValueError, EOFError, h11.ProtocolError) as error:
        raise WebError(f"{who}: {_text(error)}") from None


def _fields(head: h11.Response) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}


def _text(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)[:_MOST_TEXT] or type(error).__name__  # h11 quotes what came
