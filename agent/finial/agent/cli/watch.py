"""`api watch`: X509-SVIDs, printed whenever they change, until interrupted."""

import random
import time

import grpc

from finial.agent.cli.workload import HEADER, SOCKET_FLAGS, WORKLOAD_SOCKET
from finial.agent.cli.x509_text import described
from finial.api.workload.workload_pb2 import X509SVIDRequest
from finial.api.workload.workload_pb2_grpc import SpiffeWorkloadAPIStub
from finial.runtime.backoff import Backoff
from finial.runtime.cli.client import Call, client_command, failure_text
from finial.runtime.clock import SystemClock


async def watch(call: Call) -> None:
    stub = SpiffeWorkloadAPIStub(call.channel)
    pause = Backoff(clock=SystemClock(), rng=random.Random(), base=1.0, cap=30.0)  # noqa: S311
    while True:
        try:
            waiting_since = time.monotonic()
            async for response in stub.FetchX509SVID(X509SVIDRequest(), metadata=HEADER):
                seconds = time.monotonic() - waiting_since
                call.console.show(described(response, seconds), end="")
                call.console.stdout.flush()
                pause.reset()
                waiting_since = time.monotonic()
        except grpc.RpcError as error:
            call.console.warn(failure_text(error))
        await pause.wait()


COMMAND = client_command("api watch", WORKLOAD_SOCKET, watch, flags=SOCKET_FLAGS, failure_prefix="")
