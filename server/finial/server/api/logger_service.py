"""The Logger service: the level of the running process's log."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from typing import Any, Final

from finial.api.spire import types_pb2
from finial.api.spire.server import logger_pb2
from finial.api.spire.server.logger_pb2_grpc import LoggerServicer
from finial.runtime import logging as finial_logging
from finial.runtime.observe import Observer
from finial.server.api.failure import invalid

_NAMES: Final = {
    types_pb2.PANIC: "panic",
    types_pb2.FATAL: "fatal",
    types_pb2.ERROR: "error",
    types_pb2.WARN: "warn",
    types_pb2.INFO: "info",
    types_pb2.DEBUG: "debug",
    types_pb2.TRACE: "trace",
}
_LEVELS: Final = {name: level for level, name in _NAMES.items()}


class LoggerService(LoggerServicer):
    """Local callers only. The change lasts until the process ends or the level is reset."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def GetLogger(self, request: logger_pb2.GetLoggerRequest, context: Any) -> types_pb2.Logger:
        return _levels()

    def SetLogLevel(self, request: logger_pb2.SetLogLevelRequest, context: Any) -> types_pb2.Logger:
        if request.new_level == types_pb2.UNSPECIFIED:
            raise invalid("newLevel value cannot be LogLevel_UNSPECIFIED")
        name = _NAMES.get(request.new_level)
        if name is None:
            raise invalid("unsupported log level")
        finial_logging.set_level(name)
        self._observer.act("log level set", level_name=name)
        return _levels()

    def ResetLogLevel(
        self, request: logger_pb2.ResetLogLevelRequest, context: Any
    ) -> types_pb2.Logger:
        finial_logging.reset_level()
        self._observer.act("log level reset", level_name=finial_logging.current_level())
        return _levels()


def _levels() -> types_pb2.Logger:
    return types_pb2.Logger(
        current_level=_LEVELS[finial_logging.current_level()],
        launch_level=_LEVELS[finial_logging.launch_level()],
    )
