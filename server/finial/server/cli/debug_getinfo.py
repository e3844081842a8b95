"""`debug getinfo`: the server's identity and a few totals."""

from finial.api.spire.server.debug_pb2 import GetInfoRequest, GetInfoResponse
from finial.api.spire.server.debug_pb2_grpc import DebugStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.times import rfc3339
from finial.runtime.duration import format_duration
from finial.server.cli.admin import admin_command
from finial.server.cli.arguments import id_text


async def getinfo(call: Call) -> None:
    info = await DebugStub(call.channel).GetInfo(GetInfoRequest(), timeout=TIMEOUT)
    call.answer(info, lambda console: console.show(described(info), end=""))


def described(info: GetInfoResponse) -> str:
    """The answer as lines."""
    lines = [
        "Server Debug Info:",
        f"  Uptime:                  {format_duration(info.uptime)}",
        f"  Registered Agents:       {info.agents_count}",
        f"  Registration Entries:    {info.entries_count}",
        f"  Federated Bundles:       {info.federated_bundles_count}",
        "  SVID Chain:",
    ]
    for place, cert in enumerate(info.svid_chain):
        lines += [
            f"    [{place}] SPIFFE ID:  {id_text(cert.id)}",
            f"        Subject:    {cert.subject}",
            f"        Expires At: {rfc3339(cert.expires_at)}",
        ]
    return "\n".join(lines) + "\n"


COMMAND = admin_command("debug getinfo", getinfo)
