"""How many connections each caller may have at once, and what the log says of the rest."""

import logging
import socket
from typing import NamedTuple

from finial.runtime.logging import log
from finial.runtime.rpc.timers import Timer, Timers

_log = logging.getLogger(__name__)

_MAPPED = bytes(10) + b"\xff\xff"
_INTERVAL = 10.0
_MOST_NAMED = 8
_OTHERS = "others"


class Admission:
    """Counts connections by caller, from accept to close.

    A caller is a uid, or a network as `network_of` names it.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int | str, int] = {}

    def enter(self, caller: int | str, most: int) -> bool:
        """Count one more of the caller's connections; False when it has `most` already."""
        held = self._held.get(caller, 0)
        if held >= most:
            return False
        self._held[caller] = held + 1
        return True

    def leave(self, caller: int | str) -> None:
        """Uncount one. Callers without connections are forgotten."""
        left = self._held[caller] - 1
        if left:
            self._held[caller] = left
        else:
            del self._held[caller]

    def held(self, caller: int | str) -> int:
        """How many connections the caller has."""
        return self._held.get(caller, 0)

    def __len__(self) -> int:
        return sum(self._held.values())


def network_of(host: str) -> str:
    """Return what connections from `host` are counted under.

    An IPv4 address stands for itself, mapped into IPv6 (RFC 4291 section 2.5.5.2) or not. Of IPv6
    it is the /64: that much every host has to choose addresses from.
    """
    if ":" not in host:
        return host
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if packed.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64"


def name_of(caller: int | str) -> str:
    """Return what the log calls a caller."""
    return f"uid {caller}" if isinstance(caller, int) else caller


class Reason(NamedTuple):
    """Why a connection is not served, as the log has it, and the way out."""

    text: str
    remedy: str = ""
    level: int = logging.WARNING


class TurnedAway:
    """Logs connections that are not served: a caller's first at once, the rest counted.

    However many come, there are 18 lines in 10 seconds at most for each reason.
    """

    __slots__ = ("_name", "_seen", "_timer", "_timers")

    def __init__(self, name: str, timers: Timers) -> None:
        self._name = name
        self._timers = timers
        self._timer: Timer | None = None
        self._seen: dict[Reason, dict[str, int]] = {}

    def note(self, reason: Reason, caller: str, error: str = "") -> None:
        """Log it now or count it. `error` is one connection's own and logged with it only."""
        seen = self._seen.setdefault(reason, {})
        if caller not in seen and len(seen) >= _MOST_NAMED:
            caller = _OTHERS
        if caller in seen:
            seen[caller] += 1
            return
        seen[caller] = 0
        self._tell(reason, caller, 1, error)
        if self._timer is None:
            self._timer = self._timers.after(_INTERVAL, self._sum_up)

    def _sum_up(self) -> None:
        self._timer = None
        for reason, seen in list(self._seen.items()):
            for caller, count in list(seen.items()):
                if count:
                    self._tell(reason, caller, count, "")
                    seen[caller] = 0
                else:
                    del seen[caller]
            if not seen:
                del self._seen[reason]
        if self._seen:
            self._timer = self._timers.after(_INTERVAL, self._sum_up)

    def _tell(self, reason: Reason, caller: str, count: int, error: str) -> None:
        fields = {"error": error} if error else {}
        if reason.remedy:
            fields["remedy"] = reason.remedy
        log(
            _log,
            reason.level,
            "connections refused",
            server=self._name,
            reason=reason.text,
            caller=caller,
            connections=count,
            **fields,
        )
