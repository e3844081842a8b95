"""Fifty nodes with one join token."""

import asyncio

import grpc

from finial.runtime.rpc import RpcError
from finial.spiffe.bundle import Bundle
from tests.fakes.lab import Lab, server_lab
from tests.fakes.server_api import attest_with, csr

NODES = 50


async def test_one_of_fifty_at_the_same_time_is_let_in() -> None:
    async with server_lab() as lab:
        token, bundle = await lab.token(), await lab.bundle()
        ready = asyncio.Barrier(NODES)
        tries = (attest(lab, bundle, token, ready) for _ in range(NODES))
        codes = await asyncio.gather(*tries)
        assert sorted(codes, key=str).count(grpc.StatusCode.OK) == 1
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
        shown = await lab.admin("agent count", "-output", "json")
        assert shown.json["count"] == 1


async def attest(lab: Lab, bundle: Bundle, token: str, ready: asyncio.Barrier) -> grpc.StatusCode:
    """One node on a connection of its own; the code of its attestation."""
    channel = lab.reach.connect(bundle)
    try:
        await ready.wait()
        await attest_with(channel, token, csr())
    except RpcError as error:
        return error.code()
    finally:
        await channel.close()
    return grpc.StatusCode.OK
