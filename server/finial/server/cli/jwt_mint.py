"""`jwt mint`: a JWT-SVID for any ID of the trust domain, no entry needed."""

from pathlib import Path

from finial.api.spire.server.svid_pb2 import MintJWTSVIDRequest
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.api.spire.types_pb2 import SPIFFEID
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.failure import FailureError, file_failure
from finial.runtime.cli.files import SECRET, write_output
from finial.runtime.cli.flags import duration, text, texts
from finial.server.cli.admin import admin_command
from finial.server.cli.arguments import whole_seconds
from finial.server.cli.minting import wall_time, wanted_id, warn_if_capped


async def mint(call: Call) -> None:
    wanted = wanted_id(call)
    if not call.values.texts("audience"):
        raise FailureError("at least one audience must be specified")
    asked_at = wall_time()
    request = MintJWTSVIDRequest(
        id=SPIFFEID(trust_domain=wanted.trust_domain.name, path=wanted.path),
        ttl=whole_seconds(call.values.seconds("ttl")),
        audience=call.values.texts("audience"),
    )
    with call.doing("unable to mint SVID: "):
        response = await SVIDStub(call.channel).MintJWTSVID(request, timeout=TIMEOUT)
    warn_if_capped(call, "JWT-SVID", asked_at, response.svid.expires_at)
    if path := call.values.text("write"):
        _write(call, path, response.svid.token)
    else:
        call.answer(response, lambda console: console.show(response.svid.token))


def _write(call: Call, path: str, token: str) -> None:
    try:
        write_output(Path(path), token.encode(), SECRET)
    except OSError as error:
        raise FailureError(f"unable to write token: {file_failure('open', path, error)}") from None
    call.console.show(f"JWT-SVID written to {path}")


COMMAND = admin_command(
    "jwt mint",
    mint,
    text("spiffeID", "SPIFFE ID of the JWT-SVID"),
    texts("audience", "An audience of the JWT-SVID; may be given more than once"),
    duration("ttl", "Lifetime, such as 30m; the server's default when not given"),
    text("write", "File to write the token to instead of standard output"),
)
