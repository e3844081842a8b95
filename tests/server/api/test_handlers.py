"""What every handler has around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from finial.runtime.observe import CallInfo
from finial.runtime.rpc import StatusError
from finial.server.api.authorization import CallerKind
from finial.server.api.gate import Identity
from finial.server.api.handlers import GuardedServer
from finial.server.datastore.errors import StoreClosed
from finial.server.registry.errors import NotFound
from tests.fakes.call import FakeCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from finial.server.api.settled import Settled
    from tests.fakes.server_api import ApiLab

ENTRY = "spire.api.server.entry.v1.Entry"


class Handlers:
    """Stands for an rpc server: keeps what is registered. Also counts promotions."""

    def __init__(self) -> None:
        self.registered: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self.promoted: list[Any] = []
        self.refusal: Exception | None = None
        self.agreed: Settled | None = None

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        self.registered |= {f"{service}/{name}": handler for name, handler in handlers.items()}

    async def promote(self, context: Any) -> None:
        self.promoted.append(context)
        if self.refusal is not None:
            raise self.refusal

    def unary(self, method: str, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        handler: Any = grpc.unary_unary_rpc_method_handler(behaviour)
        guarded = GuardedServer(self, self.promote, self.agreed)
        guarded.add_registered_method_handlers(ENTRY, {method: handler})
        found: Any = self.registered[f"{ENTRY}/{method}"].unary_unary
        return found  # type: ignore[no-any-return]


def call(promotes: str = "", *, doubted: bool = False) -> FakeCall:
    info = CallInfo("1", "/x", "somebody")
    return FakeCall(identity=Identity(info, CallerKind.AGENT, None, promotes, doubted=doubted))


def at_once(request: Any, context: Any) -> str:  # noqa: ARG001
    return f"answer to {request}"


async def later(request: Any, context: Any) -> str:
    return at_once(request, context)


async def test_a_handler_that_answers_at_once_still_does() -> None:
    assert Handlers().unary("GetAuthorizedEntries", at_once)("x", call()) == "answer to x"


@pytest.mark.parametrize("behaviour", [at_once, later])
async def test_a_new_serial_is_promoted_before_the_handler_runs(behaviour: Any) -> None:
    handlers = Handlers()
    first = call(promotes="7")
    assert await handlers.unary("GetAuthorizedEntries", behaviour)("x", first) == "answer to x"
    assert handlers.promoted == [first]


async def test_a_handler_does_not_run_when_the_promotion_is_refused() -> None:
    handlers, ran = Handlers(), []
    handlers.refusal = StatusError(grpc.StatusCode.PERMISSION_DENIED)

    async def behaviour(request: Any, context: Any) -> None:
        ran.append((request, context))

    with pytest.raises(StatusError):
        await handlers.unary("GetAuthorizedEntries", behaviour)("x", call(promotes="7"))
    assert ran == []


@pytest.mark.parametrize("behaviour", [at_once, later])
async def test_a_call_in_doubt_is_decided_on_before_the_handler_runs(behaviour: Any) -> None:
    handlers, doubted = Handlers(), call(doubted=True)
    assert await handlers.unary("GetAuthorizedEntries", behaviour)("x", doubted) == "answer to x"
    assert handlers.promoted == [doubted]


async def test_a_handler_does_not_run_when_a_call_in_doubt_is_refused() -> None:
    handlers, ran = Handlers(), []
    handlers.refusal = StatusError(grpc.StatusCode.PERMISSION_DENIED)
    with pytest.raises(StatusError):
        await handlers.unary("GetAuthorizedEntries", lambda *call: ran.append(call))(
            "x", call(doubted=True)
        )
    assert ran == []


async def test_single_entries_are_answered_once_the_index_agrees_with_other_servers() -> None:
    handlers, agreed = Handlers(), []

    async def agree() -> None:
        agreed.append(True)

    handlers.agreed = agree
    assert await handlers.unary("GetEntry", at_once)("x", call()) == "answer to x"
    assert agreed == [True]
    assert handlers.unary("GetAuthorizedEntries", at_once)("x", call()) == "answer to x"


async def test_operators_methods_promote_nobody() -> None:
    handlers = Handlers()
    await handlers.unary("ListEntries", later)("x", call(promotes="7"))
    assert handlers.promoted == []


@pytest.mark.parametrize("promotes", ["", "7"])
async def test_a_database_that_cannot_serve_makes_the_call_unavailable(promotes: str) -> None:
    async def behaviour(request: Any, context: Any) -> None:  # noqa: ARG001
        raise StoreClosed("/secret/path")

    with pytest.raises(StatusError) as failed:
        await Handlers().unary("GetAuthorizedEntries", behaviour)("x", call(promotes))
    assert failed.value.code is grpc.StatusCode.UNAVAILABLE
    assert "secret" not in failed.value.message


async def test_the_handlers_of_streams_are_guarded_as_well() -> None:
    handlers = Handlers()

    async def behaviour(requests: AsyncIterator[str], context: Any) -> None:
        async for request in requests:
            await context.write(request.upper())

    handler: Any = grpc.stream_stream_rpc_method_handler(behaviour)
    GuardedServer(handlers, handlers.promote).add_registered_method_handlers(
        ENTRY, {"SyncAuthorizedEntries": handler}
    )
    guarded: Any = handlers.registered[f"{ENTRY}/SyncAuthorizedEntries"].stream_stream

    async def requests() -> AsyncIterator[str]:
        yield "a"

    context = call(promotes="7")
    await guarded(requests(), context)
    assert (context.written, handlers.promoted) == (["A"], [context])


async def test_an_agent_that_is_evicted_while_its_serial_is_promoted_is_refused(
    lab: ApiLab,
) -> None:
    agent = await lab.attest()
    found = lab.reader.agents.get(agent.id)
    context = FakeCall(
        f"/{ENTRY}/GetAuthorizedEntries",
        identity=Identity(CallInfo("1", "/x", "somebody"), CallerKind.AGENT, found, "7"),
    )
    await lab.agents.delete(agent.id)
    with pytest.raises(StatusError, match="authorization denied"):
        await lab.api.promotion(context)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await lab.agents.promote_new_serial(agent.id, "7")
