"""grpc.health.v1 on the agent's socket: whether it can serve workloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from finial.api.grpc import health_pb2, health_pb2_grpc
from finial.runtime.rpc import StatusError

if TYPE_CHECKING:
    from finial.runtime.health import Health

_Status = health_pb2.HealthCheckResponse


class HealthService(health_pb2_grpc.HealthServicer):
    """Answers Check for the process as a whole; List and Watch are not served, as in SPIRE."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:  # noqa: ARG002, N802
        if request.service:
            raise StatusError(
                grpc.StatusCode.INVALID_ARGUMENT, "per-service health is not supported"
            )
        ready = self._health.ready
        return _Status(status=_Status.SERVING if ready else _Status.NOT_SERVING)

    def List(self, request: health_pb2.HealthListRequest, context: Any) -> Any:  # noqa: ARG002, N802
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "method List not implemented")

    def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:  # noqa: ARG002, N802
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "method Watch not implemented")
