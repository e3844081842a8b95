"""One join token, presented fifty times at once: one node gets in."""

import asyncio
from pathlib import Path

import grpc

from finial.runtime.rpc import RpcError
from finial.server.registry.model import JoinToken
from tests.fakes.server_api import ApiLab, attest_with, csr, open_lab

NODES = 50


async def attest(lab: ApiLab, token: str, ready: asyncio.Barrier) -> grpc.StatusCode:
    """One node on a connection of its own; how it fared."""
    channel = lab.connect(None)
    await ready.wait()
    try:
        await attest_with(channel, token, csr())
    except RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_of_fifty_nodes_with_one_token_at_the_same_time_one_is_let_in(
    tmp_path: Path,
) -> None:
    async with open_lab(tmp_path) as lab:
        await lab.tokens.create(JoinToken("the-only-one", int(lab.clock.time()) + 600))
        ready = asyncio.Barrier(NODES)
        codes = await asyncio.gather(*(attest(lab, "the-only-one", ready) for _ in range(NODES)))
        assert codes.count(grpc.StatusCode.OK) == 1
        assert codes.count(grpc.StatusCode.INVALID_ARGUMENT) == NODES - 1
        assert await lab.agents.count() == 1
