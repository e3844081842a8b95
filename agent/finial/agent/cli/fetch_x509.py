"""`api fetch x509`, and `api fetch`: the X509-SVIDs that a workload like this process gets."""

import time
from pathlib import Path

from finial.agent.cli.answers import x509_svids
from finial.agent.cli.workload import HEADER, first, timeout, workload_command
from finial.agent.cli.x509_text import described, write_files
from finial.api.workload.workload_pb2 import X509SVIDRequest
from finial.api.workload.workload_pb2_grpc import SpiffeWorkloadAPIStub
from finial.runtime.cli.client import Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.flags import boolean, text


async def fetch(call: Call) -> None:
    started = time.monotonic()
    stream = SpiffeWorkloadAPIStub(call.channel).FetchX509SVID(
        X509SVIDRequest(), metadata=HEADER, timeout=timeout(call)
    )
    response = x509_svids(await first(stream))
    seconds = time.monotonic() - started

    def pretty(console: Console) -> None:
        if not call.values.boolean("silent"):
            console.show(described(response, seconds), end="")
        if folder := call.values.text("write"):
            write_files(Path(folder), response, console)

    call.answer(response, pretty)


COMMAND = workload_command(
    "api fetch x509",
    fetch,
    boolean("silent", "Print nothing"),
    text("write", "Folder to write the SVIDs to as PEM; with pretty output only"),
)
