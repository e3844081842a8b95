"""h2spec against our server: every case, strict ones too, over plain TCP and over TLS."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from finial.runtime.clock import SystemClock
from finial.runtime.rpc import OpenGate, Server, ServerTls, TlsIdentity
from tests.fakes.ca import FakeCa
from tests.interop.gobuild import built
from tests.interop.h2spec.relay import relayed
from tests.runtime.rpc.echo import Echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
CASES = 146  # of h2spec 2.2.1, strict ones among them

EXCEPTIONS: dict[str, str] = {}
"""Cases that are let fail, each with the reason that h2 gives for it."""


@pytest.fixture(scope="module")
def h2spec() -> Path:
    """The program, from the cache or built into it."""
    return built(HERE)


@asynccontextmanager
async def over_tcp(folder: Path) -> AsyncIterator[tuple[str, ...]]:
    server = Server(clock=SystemClock(), gate=OpenGate())
    Echo().register(server)
    await server.listen_unix(folder / "s", mode=0o600)
    async with relayed(folder / "s") as port:
        yield (str(port),)
    await server.drain(0)


@asynccontextmanager
async def over_tls(_folder: Path) -> AsyncIterator[tuple[str, ...]]:
    ca = FakeCa(now=time.time())
    own = ca.issue("spiffe://example.org/spire/server", dns_names=["finial-test"])
    identity, bundles = TlsIdentity(own.chain, own.key_pkcs8), (ca.bundle(),)
    server = Server(clock=SystemClock(), gate=OpenGate())
    Echo().register(server)
    tls = ServerTls(lambda: identity, lambda: bundles, SystemClock())
    yield str(await server.listen_tcp("127.0.0.1", 0, tls)), "tls"
    await server.drain(0)


async def results(program: Path, arguments: tuple[str, ...]) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        str(program),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("transport", [over_tcp, over_tls], ids=["tcp", "tls"])
async def test_every_case_passes_but_for_the_named_exceptions(
    h2spec: Path,
    folder: Path,
    transport: Callable[[Path], Any],
    record_property: Callable[[str, object], None],
) -> None:
    async with transport(folder) as arguments:
        cases = await results(h2spec, arguments)
    passed = [case for case in cases if case["outcome"] == "passed"]
    total = f"{len(passed)}/{len(cases)} cases passed, {len(EXCEPTIONS)} exceptions"
    record_property("total", total)
    assert len(cases) == len({case["case"] for case in cases}) == CASES
    failed = {case["case"]: case for case in cases if case["outcome"] != "passed"}
    # Both ways: an exception that has come to pass is to be taken off the list.
    assert failed.keys() == EXCEPTIONS.keys(), json.dumps(list(failed.values()), indent=1)
