"""The Logger services of server and agent: the level of the running process's log.

They are two by name, with messages of the same shape.
"""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from typing import Any, Final

import grpc

from finial.api.spire import types_pb2
from finial.runtime import logging as finial_logging
from finial.runtime.observe import Observer
from finial.runtime.rpc import StatusError

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


class LogLevels:
    """The methods of either. A change lasts until the process ends or the level is reset."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def GetLogger(self, request: Any, context: Any) -> types_pb2.Logger:
        return _levels()

    def SetLogLevel(self, request: Any, context: Any) -> types_pb2.Logger:
        if request.new_level == types_pb2.UNSPECIFIED:
            raise _invalid("newLevel value cannot be LogLevel_UNSPECIFIED")
        name = _NAMES.get(request.new_level)
        if name is None:
            raise _invalid("unsupported log level")
        finial_logging.set_level(name)
        self._observer.act("log level set", level_name=name)
        return _levels()

    def ResetLogLevel(self, request: Any, context: Any) -> types_pb2.Logger:
        finial_logging.reset_level()
        self._observer.act("log level reset", level_name=finial_logging.current_level())
        return _levels()


def _levels() -> types_pb2.Logger:
    return types_pb2.Logger(
        current_level=_LEVELS[finial_logging.current_level()],
        launch_level=_LEVELS[finial_logging.launch_level()],
    )


def _invalid(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)
