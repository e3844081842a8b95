"""A fleet that comes at once: 1,000 nodes behind one address attest, at a server's defaults.

`python -m tests.bench.storm [NODES]` prints a line of JSON for each figure. The server is the
program with its signers; the nodes are connections of this process, each with TLS, a join token
and a key of its own. Seconds are from when the first sets out to when each has its SVID.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from finial.api.spire.server import agent_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.runtime.rpc import RpcError, raise_descriptor_limit
from tests.fakes.lab import Lab, server_lab
from tests.fakes.server_api import attest_with, csr

if TYPE_CHECKING:
    from finial.spiffe.bundle import Bundle

NODES = 1000
WITHIN = 60.0
"""Seconds in which all of them must have attested."""

_TICKS = os.sysconf("SC_CLK_TCK")


async def fleet(lab: Lab, nodes: int) -> tuple[list[float], list[str]]:
    """Let so many nodes attest at once; returns the seconds of each, and why others could not."""
    raise_descriptor_limit()
    bundle, tokens = await lab.bundle(), await _tokens(lab, nodes)
    request = csr(ec.generate_private_key(ec.SECP256R1()))
    began = time.monotonic()
    outcomes = await asyncio.gather(*(_attest(lab, bundle, token, request) for token in tokens))
    taken = [ended - began for ended in outcomes if isinstance(ended, float)]
    return sorted(taken), [why for why in outcomes if isinstance(why, str)]


async def _tokens(lab: Lab, count: int) -> list[str]:
    channel = lab.reach.local()
    stub = AgentStub(channel)
    try:
        request = agent_pb2.CreateJoinTokenRequest(ttl=600)
        return [(await stub.CreateJoinToken(request)).value for _ in range(count)]
    finally:
        await channel.close()


async def _attest(lab: Lab, bundle: Bundle, token: str, request: bytes) -> float | str:
    channel = lab.reach.connect(bundle)
    try:
        await attest_with(channel, token, request)
        return time.monotonic()
    except RpcError as error:
        return str(error)
    finally:
        await channel.close()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(_cpu(each) for each in (str(pid), *children))


def _cpu(pid: str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(pid: int) -> float:
    """The most MiB that a process has held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no memory figure of process {pid}")


async def _storm(nodes: int) -> list[dict[str, Any]]:
    async with server_lab(limits="", log_level="info") as lab:
        before, resident = cpu_of(lab.server.pid), memory_of(lab.server.pid)
        taken, failed = await fleet(lab, nodes)
        cpu = cpu_of(lab.server.pid) - before
        grown = memory_of(lab.server.pid) - resident
    for why in sorted(set(failed)):
        print(f"storm: {failed.count(why)} nodes: {why}", file=sys.stderr)
    late = sum(each > WITHIN for each in taken) + len(failed)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    last = len(taken) - 1
    lines = [
        _line(f"storm.{name}", "s", taken[min(last, int(len(taken) * share))], nodes, late)
        for name, share in shares.items()
        if taken
    ]
    return [
        *lines,
        _line("storm.server_cpu", "CPU ms", cpu * 1000 / nodes, nodes, late),
        _line("storm.server_memory", "KiB", grown * 1024 / nodes, nodes, late),
    ]


def _line(name: str, unit: str, value: float, nodes: int, errors: int) -> dict[str, Any]:
    return {"name": name, "unit": unit, "value": round(value, 3), "n": nodes, "errors": errors}


def measure(folder: Path) -> list[dict[str, Any]]:  # noqa: ARG001 - as all measures are called
    """Return the lines; `errors` counts the nodes that had no SVID in time."""
    return asyncio.run(_storm(NODES))


if __name__ == "__main__":
    for line in asyncio.run(_storm(int(sys.argv[1]) if sys.argv[1:] else NODES)):
        print(json.dumps(line))
