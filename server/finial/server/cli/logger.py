"""`logger get`, `logger set`, `logger reset`: the level of a running server."""

from finial.api.spire import types_pb2
from finial.api.spire.server.logger_pb2 import (
    GetLoggerRequest,
    ResetLogLevelRequest,
    SetLogLevelRequest,
)
from finial.api.spire.server.logger_pb2_grpc import LoggerStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import text
from finial.server.cli.admin import admin_command

LEVELS = {
    "panic": types_pb2.PANIC,
    "fatal": types_pb2.FATAL,
    "error": types_pb2.ERROR,
    "warn": types_pb2.WARN,
    "warning": types_pb2.WARN,
    "info": types_pb2.INFO,
    "debug": types_pb2.DEBUG,
    "trace": types_pb2.TRACE,
}


async def get(call: Call) -> None:
    _answer(call, await LoggerStub(call.channel).GetLogger(GetLoggerRequest(), timeout=TIMEOUT))


async def change(call: Call) -> None:
    request = SetLogLevelRequest(new_level=level(call.values.text("level")))
    _answer(call, await LoggerStub(call.channel).SetLogLevel(request, timeout=TIMEOUT))


async def reset(call: Call) -> None:
    request = ResetLogLevelRequest()
    _answer(call, await LoggerStub(call.channel).ResetLogLevel(request, timeout=TIMEOUT))


def level(name: str) -> types_pb2.LogLevel.ValueType:
    """The level of that name, in any case; raises FailureError."""
    if not name:
        raise FailureError("a value (-level) must be set")
    try:
        return LEVELS[name.lower()]
    except KeyError:
        raise FailureError(f'the value "{name}" is not a valid setting') from None


def described(logger: types_pb2.Logger) -> str:
    """Both levels as lines, and an empty one."""
    return (
        f"Logger Level : {_name(logger.current_level)}\n"
        f"Launch Level : {_name(logger.launch_level)}\n"
    )


def _name(level: types_pb2.LogLevel.ValueType) -> str:
    name = types_pb2.LogLevel.Name(level).lower()
    return "warning" if name == "warn" else name


def _answer(call: Call, logger: types_pb2.Logger) -> None:
    call.answer(logger, lambda console: console.show(described(logger)))


GET = admin_command("logger get", get)
SET = admin_command(
    "logger set", change, text("level", "panic, fatal, error, warn, info, debug or trace")
)
RESET = admin_command("logger reset", reset)
