"""The process itself: debug, logger, health; services that are not where one asks."""

from __future__ import annotations

from tests.interop.likeness.steps import Groups, call

LEVEL = "Logger.SetLogLevel"
UNKNOWN = (
    "/spire.api.server.logger.v1.Logger/GetLogger",
    "/spire.api.server.debug.v1.Debug/GetInfo",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/SpiffeWorkloadAPI/FetchX509SVID",
    "/spire.api.server.entry.v1.Entry/Nonsense",
    "/nonsense.Nonsense/Nonsense",
)
FRESH = [
    call("debug", "Debug.GetInfo"),
    call("debug again", "Debug.GetInfo"),
    call("logger", "Logger.GetLogger"),
    *(call(f"level {number}", LEVEL, new_level=number) for number in range(10)),
    call("level of nobody", LEVEL, new_level=-1),
    call("logger after all levels", "Logger.GetLogger"),
    call("reset", "Logger.ResetLogLevel"),
    call("reset again", "Logger.ResetLogLevel"),
    call("health", "Health.Check"),
    call("health of a service", "Health.Check", service="x"),
    call("health watched", "Health.Watch"),
    call("health list", "/grpc.health.v1.Health/List"),
]
ELSEWHERE = [
    call(f"{method} by {caller}", method, caller)
    for method in UNKNOWN
    for caller in ("nobody", "local")
    if caller == "nobody" or method not in UNKNOWN[:3]
]
GROUPS: Groups = {"process": FRESH, "unknown services": ELSEWHERE}
