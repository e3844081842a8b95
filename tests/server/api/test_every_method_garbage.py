"""Whatever whoever sends: no method fails by a fault of ours, and a refusal changes nothing.

The methods are those of the table, found by their descriptors: a new service is tried by itself.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from finial.server.api.authorization import TABLE, CallerKind
from tests.fakes.callers import SomeCaller, every_caller
from tests.fakes.requests import SPIRES, is_fault, message_of, methods, outcome_of, refused_items
from tests.fakes.server_api import ApiLab, open_lab

METHODS = methods()
MESSAGES = 8
"""Sent by each caller that has a right to the method; the others send the first of them."""
PATIENCE = 20.0

REFUSED = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED})
ABSENT = frozenset({grpc.StatusCode.UNAVAILABLE})
"""How calls end of who does not get through the handshake."""
FOREIGN = REFUSED | {grpc.StatusCode.UNAUTHENTICATED}
"""The bundle of another domain may be taken away by what is sent here."""


class World:
    """A server and its callers, on a loop of their own."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._opening = open_lab(folder)
        self.lab: ApiLab
        self.callers: Mapping[str, SomeCaller]

    def open(self) -> None:
        self._runner.run(self._open())

    async def _open(self) -> None:
        self.lab = await self._opening.__aenter__()
        await self.lab.authorities.start()
        self.callers = await every_caller(self.lab)

    def close(self) -> None:
        self._runner.run(self._opening.__aexit__(None, None, None))

    def try_all(self, path: str, messages: list[Message]) -> None:
        self._runner.run(asyncio.wait_for(self._try_all(path, messages), PATIENCE))

    async def _try_all(self, path: str, messages: list[Message]) -> None:
        for name, caller in self.callers.items():
            may = bool(TABLE[path] & (caller.kinds | {CallerKind.ANY})) and not name.startswith(
                "expired"
            )
            for message in messages if may else messages[:1]:
                await self._try(path, name, message, may=may)

    async def _try(self, path: str, name: str, message: Message, *, may: bool) -> None:
        await self.lab.clock.advance(0.1)  # past any rate limit
        before = await self.state()
        error, answers = await outcome_of(self.callers[name].channel, METHODS[path], message)
        told = f"{path} by {name}: {error} for {message}"
        if not may:
            assert error is not None, told
            assert error.code() in _refusals(name), told
        elif error is not None:
            assert not is_fault(path, error), told
        if error is not None or refused_items(answers):
            assert await self.state() == before, told

    async def state(self) -> tuple[int, list[tuple[str, list[Any]]]]:
        """The change feed's revision, and every row of every table."""

        def tables(connection: Any) -> list[tuple[str, list[Any]]]:
            names = connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            ).scalars()
            return [
                (name, [tuple(row) for row in connection.execute(text(f'SELECT * FROM "{name}"'))])
                for name in list(names)
            ]

        return self.lab.db.revision, await self.lab.db.read(tables)


def _refusals(name: str) -> frozenset[grpc.StatusCode]:
    if name.startswith("expired"):
        return ABSENT
    return FOREIGN if name.startswith("other domain") else REFUSED


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with asyncio.Runner() as runner:
        made = World(tmp_path_factory.mktemp("lab"), runner)
        made.open()
        yield made
        made.close()


def _messages(method: MethodDescriptor) -> st.SearchStrategy[list[Message]]:
    return st.lists(message_of(method.input_type), min_size=MESSAGES, max_size=MESSAGES)


@pytest.mark.parametrize("path", METHODS)
@settings(
    max_examples=2,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_message_of_any_caller_makes_a_method_fail_and_a_refusal_changes_nothing(
    world: World, path: str, data: st.DataObject
) -> None:
    world.try_all(path, data.draw(_messages(METHODS[path])))


def test_every_method_of_the_table_is_tried() -> None:
    assert set(METHODS) == set(TABLE)
    assert set(SPIRES) <= {path.rpartition(".")[2] for path in METHODS}
