"""The health check that both sides answer (grpc.health.v1)."""

import grpc

from finial.api.grpc.health_pb2 import HealthCheckRequest, HealthCheckResponse
from finial.api.grpc.health_pb2_grpc import HealthStub
from finial.runtime.cli.client import Call, Handler, failure_text
from finial.runtime.cli.failure import FailureError

TIMEOUT = 30.0


def health_handler(who: str, *, healthy: str, unhealthy: str) -> Handler:
    """A handler that prints `healthy`, or fails with `unhealthy`; -verbose says why."""

    async def check(call: Call) -> None:
        verbose = call.values.boolean("verbose")
        if verbose:
            call.console.show(f"Checking {who} health...")
        if not await _is_serving(call, verbose=verbose):
            raise FailureError(f"{unhealthy}: unable to determine health")
        call.console.show(healthy)

    return check


async def _is_serving(call: Call, *, verbose: bool) -> bool:
    try:
        answer = await HealthStub(call.channel).Check(HealthCheckRequest(), timeout=TIMEOUT)
    except grpc.RpcError as error:
        if verbose:
            call.console.warn(f"Failed to check health: {failure_text(error)}{call.hint(error)}")
        return False
    if answer.status == HealthCheckResponse.SERVING:
        return True
    if verbose:
        status = HealthCheckResponse.ServingStatus.Name(answer.status)
        call.console.warn(f"Failed to check health: the answer is {status}")
    return False
