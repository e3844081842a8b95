"""The standard gRPC health service, for the process as a whole."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from typing import Any

import grpc

from finial.api.grpc import health_pb2
from finial.api.grpc.health_pb2_grpc import HealthServicer
from finial.runtime.health import Health
from finial.runtime.rpc import StatusError
from finial.server.api.failure import invalid


class HealthService(HealthServicer):
    """Local callers only; Watch and List are left unimplemented, as SPIRE leaves them."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        if request.service:
            raise invalid("per-service health is not supported")
        response = health_pb2.HealthCheckResponse
        return response(status=response.SERVING if self._health.ready else response.NOT_SERVING)

    def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "method Watch not implemented")

    def List(self, request: health_pb2.HealthListRequest, context: Any) -> Any:
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "method List not implemented")
