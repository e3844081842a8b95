"""`api watch`: X509-SVIDs, printed whenever they change, until interrupted."""

import random

import grpc

from finial.agent.cli.answers import x509_svids
from finial.agent.cli.workload import HEADER, SOCKET_FLAGS, WORKLOAD_SOCKET
from finial.agent.cli.x509_text import described
from finial.api.workload.workload_pb2 import X509SVIDRequest, X509SVIDResponse
from finial.api.workload.workload_pb2_grpc import SpiffeWorkloadAPIStub
from finial.runtime.backoff import Backoff, Rng
from finial.runtime.cli.client import Call, client_command, failure_text
from finial.runtime.cli.failure import FailureError
from finial.runtime.clock import Clock, SystemClock

FIRST_PAUSE = 1.0
"""Seconds; a stream that was shorter is not called again at once."""
LONGEST_PAUSE = 30.0
FOR_GOOD = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED})
"""What another try would not change (SPIFFE Workload Endpoint sections 6 and 7)."""


async def watch(call: Call) -> None:
    await watch_by(call, SystemClock(), random.Random())  # noqa: S311 - spreads load, no secret


async def watch_by(call: Call, clock: Clock, rng: Rng) -> None:
    """Print every message; call again at once when a stream ends that had lasted, else later.

    Raises RpcError when the refusal is for good.
    """
    stub = SpiffeWorkloadAPIStub(call.channel)
    pause = Backoff(clock=clock, rng=rng, base=FIRST_PAUSE, cap=LONGEST_PAUSE)
    while True:
        opened = waiting_since = clock.monotonic()
        served = False
        try:
            async for response in stub.FetchX509SVID(X509SVIDRequest(), metadata=HEADER):
                _show(call, response, clock.monotonic() - waiting_since)
                pause.reset()
                served = True
                waiting_since = clock.monotonic()
        except grpc.RpcError as error:
            if error.code() in FOR_GOOD:
                raise
            call.console.warn(failure_text(error))
        if not served or clock.monotonic() - opened < FIRST_PAUSE:
            await pause.wait()


def _show(call: Call, response: X509SVIDResponse, seconds: float) -> None:
    try:
        call.console.show(described(x509_svids(response), seconds), end="")
        call.console.stdout.flush()
    except FailureError as error:
        call.console.warn(str(error))


COMMAND = client_command("api watch", WORKLOAD_SOCKET, watch, flags=SOCKET_FLAGS, failure_prefix="")
