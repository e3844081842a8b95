"""`api fetch jwt`: the JWT-SVIDs that a workload like this process gets."""

from finial.agent.cli.answers import jwt_bundles, jwt_svids
from finial.agent.cli.workload import HEADER, first, timeout, workload_command
from finial.api.workload.workload_pb2 import (
    JWTBundlesRequest,
    JWTBundlesResponse,
    JWTSVIDRequest,
    JWTSVIDResponse,
)
from finial.api.workload.workload_pb2_grpc import SpiffeWorkloadAPIStub
from finial.runtime.cli.client import Call
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import chosen, listed, text
from finial.runtime.cli.output import json_line


async def fetch(call: Call) -> None:
    audience = call.values.texts("audience")
    if not any(audience):
        raise FailureError("audience must be specified")
    stub = SpiffeWorkloadAPIStub(call.channel)
    stream = stub.FetchJWTBundles(JWTBundlesRequest(), metadata=HEADER, timeout=timeout(call))
    bundles = jwt_bundles(await first(stream))
    request = JWTSVIDRequest(audience=audience, spiffe_id=call.values.text("spiffeID"))
    svids = jwt_svids(await stub.FetchJWTSVID(request, metadata=HEADER, timeout=timeout(call)))
    if call.values.text("format") == "json":
        call.console.show(json_line([svids, bundles]))
    else:
        call.answer([svids, bundles], lambda to: to.show(described(svids, bundles), end=""))


def described(svids: JWTSVIDResponse, bundles: JWTBundlesResponse) -> str:
    """Tokens, hints and bundles, each under its heading."""
    lines = []
    for svid in svids.svids:
        lines.append(f"token({svid.spiffe_id}):\n\t{svid.svid}")
        if svid.hint:
            lines.append(f"hint({svid.spiffe_id}):\n\t{svid.hint}")
    for trust_domain, jwks in sorted(bundles.bundles.items()):
        lines.append(f"bundle({trust_domain}):\n\t{jwks.decode(errors='replace')}")
    return "\n".join(lines) + "\n"


COMMAND = workload_command(
    "api fetch jwt",
    fetch,
    listed("audience", "Audiences, divided by commas; may be given more than once"),
    text("spiffeID", "Only the JWT-SVID of this SPIFFE ID"),
    chosen("format", "The old name of -output", ("pretty", "json"), ""),
)
