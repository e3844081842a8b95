"""A Workload API with canned answers: what the transport alone costs.

Run `python tests/bench/rpc/serve.py SOCKET [asyncio|uvloop]`, drive it with any SPIFFE client, and
read the CPU time of this process. Answers have the size of real ones and no other sense.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import uvloop

from finial.api.workload import workload_pb2, workload_pb2_grpc
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import OpenGate, Server

_SVID = workload_pb2.X509SVIDResponse(
    svids=[
        workload_pb2.X509SVID(
            spiffe_id="spiffe://example.org/bench",
            x509_svid=os.urandom(600),
            x509_svid_key=os.urandom(138),
            bundle=os.urandom(500),
        )
    ]
).SerializeToString()
_TOKEN = workload_pb2.JWTSVIDResponse(
    svids=[workload_pb2.JWTSVID(spiffe_id="spiffe://example.org/bench", svid="x" * 600)]
).SerializeToString()


class Canned(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """Answers at once, in the two ways that an agent does."""

    def FetchX509SVID(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        stream = context.push_stream()
        stream.send(_SVID)
        return stream

    def FetchJWTSVID(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        return _TOKEN


async def _main(path: Path) -> None:
    server = Server(clock=SystemClock(), gate=OpenGate())
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(Canned(), server)
    await server.listen_unix(path, mode=0o600)
    await server.serve()


if __name__ == "__main__":
    loop = uvloop.new_event_loop if sys.argv[2:] == ["uvloop"] else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_main(Path(sys.argv[1])))
