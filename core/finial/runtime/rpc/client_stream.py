"""One attempt at a call: a stream on one connection, until its status is known."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import grpc
from h2.errors import ErrorCodes

from finial.runtime.rpc import metadata as wire_metadata
from finial.runtime.rpc.hpack import Header
from finial.runtime.rpc.request import is_grpc
from finial.runtime.rpc.status import (
    Metadata,
    RpcError,
    StatusError,
    code_of,
    code_of_http,
    code_of_reset,
    decode_message,
)
from finial.runtime.rpc.stream import Stream

if TYPE_CHECKING:
    from finial.runtime.rpc.dial import ClientConnection


class ClientStream(Stream):
    """Reads the response's headers, messages and trailers.

    `over` is called once, when the status is known, before any reader hears of it. `refused` says
    that the server has surely not begun with the request, so that it may be made again; `dropped`
    that it cancelled the stream, as servers do at the call's deadline.
    """

    __slots__ = (
        "_begun",
        "_over",
        "code",
        "dropped",
        "initial",
        "message",
        "refused",
        "superseded",
        "trailing",
    )

    def __init__(
        self,
        connection: "ClientConnection",
        stream_id: int,
        over: "Callable[[ClientStream], None]",
    ) -> None:
        super().__init__(connection, stream_id)
        self._over = over
        self._begun: asyncio.Future[None] = connection.loop.create_future()
        self.initial: Metadata = ()
        self.code: grpc.StatusCode | None = None
        self.message = ""
        self.trailing: Metadata = ()
        self.refused = False
        self.dropped = False
        self.superseded = False  # another attempt takes its place

    def on_response(self, headers: list[Header], ended: bool) -> None:
        fields = dict(headers)
        status = fields.get(b":status", b"")
        if b"grpc-status" in fields and ended:
            self._end_with(headers)
        elif status != b"200":
            number = int(status) if status.isdigit() else 0
            self._give_up(code_of_http(number), f"the server answered with HTTP status {number}")
        elif not is_grpc(fields.get(b"content-type", b"")):
            self._give_up(grpc.StatusCode.UNKNOWN, "the server's answer is not gRPC")
        elif fields.get(b"grpc-encoding", b"identity") != b"identity":
            self._give_up(grpc.StatusCode.INTERNAL, "the server compresses, unasked")
        else:
            self.initial = wire_metadata.decode(headers)
            self._begin()
            if ended:
                self.on_end()

    def on_trailers(self, headers: list[Header]) -> None:
        self._end_with(headers)

    def on_end(self) -> None:
        message = "the server closed the stream without a status"
        self.finish(grpc.StatusCode.INTERNAL, message)

    def on_message(self, message: bytes) -> None:
        if not self._begun.done():
            raise StatusError(grpc.StatusCode.INTERNAL, "a message before the headers")
        super().on_message(message)

    def on_reset(self, error: int) -> None:
        self.refused = error == ErrorCodes.REFUSED_STREAM
        self.dropped = error == ErrorCodes.CANCEL
        self.finish(code_of_reset(error), f"the server reset the stream, HTTP/2 error {error}")

    def on_refused(self, reason: str) -> None:
        """The server is leaving and has not looked at this stream."""
        self.refused = True
        self._connection.engine.reset(self.stream_id, int(ErrorCodes.CANCEL))
        self.finish(grpc.StatusCode.UNAVAILABLE, reason)

    def on_lost(self, reason: str) -> None:
        self.finish(grpc.StatusCode.UNAVAILABLE, reason)

    async def first(self) -> Metadata:
        """Return the initial metadata; none when the call ended without."""
        await asyncio.shield(self._begun)
        return self.initial

    async def half_close(self) -> None:
        """Tell the server that no more messages come."""
        await self._writable()
        self._connection.engine.send_end(self.stream_id)
        self._connection.flush_later()

    def _begin(self) -> None:
        if not self._begun.done():
            self._begun.set_result(None)

    def cancel(self, code: grpc.StatusCode, message: str) -> None:
        """End the call from this side."""
        if self.code is None:
            self._give_up(code, message)

    def _refuse(self, error: StatusError) -> None:
        self._give_up(error.code, error.message)

    def give_up(self, error: StatusError) -> None:
        self._give_up(error.code, error.message)

    def _give_up(self, code: grpc.StatusCode, message: str) -> None:
        self._connection.engine.reset(self.stream_id, int(ErrorCodes.CANCEL))
        self.finish(code, message)

    def _end_with(self, headers: Iterable[Header]) -> None:
        fields = dict(headers)
        code = code_of(fields.get(b"grpc-status"))
        message = decode_message(fields.get(b"grpc-message", b""))
        self.finish(code, message, wire_metadata.decode(headers))

    def finish(self, code: grpc.StatusCode, message: str, trailing: Metadata = ()) -> None:
        """Settle the status, once."""
        if self.code is not None:
            return
        self.code, self.message, self.trailing = code, message, trailing
        connection = self._connection
        connection.forget(self)
        connection.engine.reset(self.stream_id, int(ErrorCodes.CANCEL))
        connection.flush_later()
        self._over(self)
        self._ended = True
        self._begin()
        self.break_off(RpcError(code, message, trailing))
