"""The Logger service of the admin socket: the level of the running agent's log."""

from __future__ import annotations

from finial.api.spire.agent.logger_pb2_grpc import LoggerServicer
from finial.runtime.log_levels import LogLevels


class LoggerService(LogLevels, LoggerServicer):
    """For whoever may open the admin socket."""
