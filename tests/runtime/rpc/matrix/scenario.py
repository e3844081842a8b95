"""The list of scenarios: each is one row of the matrix, and one test a pair and transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.runtime.rpc.matrix.link import Options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from tests.runtime.rpc.matrix.link import Link

_USUAL = Options()


@dataclass(frozen=True)
class Scenario:
    """A row. `clients` and `servers` are the makes that it is for, all when there are none."""

    name: str
    run: Callable[[Link], Awaitable[None]]
    options: Options
    clients: frozenset[str]
    servers: frozenset[str]

    def applies(self, client: str, server: str) -> bool:
        return (not self.clients or client in self.clients) and (
            not self.servers or server in self.servers
        )


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    options: Options = _USUAL, *, clients: Iterable[str] = (), servers: Iterable[str] = ()
) -> Callable[[Callable[[Link], Awaitable[None]]], None]:
    """Put a function on the list, under its own name."""

    def add(run: Callable[[Link], Awaitable[None]]) -> None:
        name = run.__name__
        assert name not in SCENARIOS
        SCENARIOS[name] = Scenario(name, run, options, frozenset(clients), frozenset(servers))

    return add


async def failure(call: Any) -> Any:
    """Return the error that a call ends with: an RpcError of either make."""
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return caught.value


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return code and message of a call that must fail."""
    error = await failure(call)
    return error.code(), error.details() or ""


async def drained(call: Any) -> list[bytes]:
    """Return all that a stream gives; raises its error."""
    return [message async for message in call]


async def words(*given: bytes) -> AsyncIterator[bytes]:
    for word in given:
        yield word
