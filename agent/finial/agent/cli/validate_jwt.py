"""`api validate jwt`: let the agent check a JWT-SVID for an audience."""

import grpc

from finial.agent.cli.answers import verdict
from finial.agent.cli.workload import HEADER, timeout, workload_command
from finial.api.workload.workload_pb2 import ValidateJWTSVIDRequest, ValidateJWTSVIDResponse
from finial.api.workload.workload_pb2_grpc import SpiffeWorkloadAPIStub
from finial.runtime.cli.client import Call
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import text
from finial.runtime.cli.output import json_line


async def validate(call: Call) -> None:
    request = ValidateJWTSVIDRequest(
        audience=_required(call, "audience"), svid=_required(call, "svid")
    )
    stub = SpiffeWorkloadAPIStub(call.channel)
    with call.doing("unable to validate JWT SVID: "):
        try:
            answer = await stub.ValidateJWTSVID(request, metadata=HEADER, timeout=timeout(call))
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise FailureError(f"SVID is not valid: {error.details()}") from None
            raise
    verdict(answer)
    call.answer(answer, lambda console: console.show(described(answer)))


def described(answer: ValidateJWTSVIDResponse) -> str:
    """The verdict, the ID and the claims."""
    return f"SVID is valid.\nSPIFFE ID : {answer.spiffe_id}\nClaims    : {json_line(answer.claims)}"


def _required(call: Call, flag: str) -> str:
    value = call.values.text(flag)
    if not value:
        raise FailureError(f"{flag} must be specified")
    return value


COMMAND = workload_command(
    "api validate jwt",
    validate,
    text("audience", "The audience that the JWT-SVID must be for"),
    text("svid", "The JWT-SVID"),
)
