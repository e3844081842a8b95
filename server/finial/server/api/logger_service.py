"""The Logger service: the level of the running process's log."""

from finial.api.spire.server.logger_pb2_grpc import LoggerServicer
from finial.runtime.log_levels import LogLevels


class LoggerService(LogLevels, LoggerServicer):
    """Local callers only. The change lasts until the process ends or the level is reset."""
