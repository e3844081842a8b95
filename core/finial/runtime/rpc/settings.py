"""SETTINGS: what we announce, and h2's bookkeeping of them in less memory."""

from collections import deque
from functools import lru_cache
from typing import Any

from h2.settings import SettingCodes, Settings
from hyperframe.frame import SettingsFrame, WindowUpdateFrame

from finial.runtime.rpc.limits import Limits

_DEFAULT_WINDOW = 65_535
PREAMBLE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class _Values(list[int]):
    """A setting's current value and those not yet acknowledged: what h2 asks of a deque.

    An empty deque takes 600 bytes and a connection has a dozen of them.
    """

    __slots__ = ()

    def popleft(self) -> int:
        return self.pop(0)


class CompactSettings(Settings):
    """h2's settings of one side, 7 KiB smaller."""

    def __init__(self, *, client: bool, initial_values: dict[Any, int] | None = None) -> None:
        super().__init__(client, initial_values)
        values: dict[Any, Any] = {key: _Values(old) for key, old in self._settings.items()}
        self._settings = values

    def __setitem__(self, key: SettingCodes | int, value: int) -> None:
        super().__setitem__(key, value)
        held: Any = self._settings[key]
        if isinstance(held, deque):
            compact: Any = _Values(held)
            self._settings[key] = compact


def announced(limits: Limits, *, client: bool) -> tuple[CompactSettings, bytes]:
    """Return our settings, taken as in force at once, and the bytes that a connection opens with.

    In force at once is safe: they only ever allow the peer more than it knows of yet.
    """
    values = _values(limits, client=client)
    return CompactSettings(client=client, initial_values=values), _preface(limits, client=client)


def _values(limits: Limits, *, client: bool) -> dict[Any, int]:
    values: dict[Any, int] = {
        SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
        SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list,
    }
    if client:
        values[SettingCodes.ENABLE_PUSH] = 0
    else:
        values[SettingCodes.MAX_CONCURRENT_STREAMS] = limits.max_concurrent_streams
    return values


@lru_cache(maxsize=16)
def _preface(limits: Limits, *, client: bool) -> bytes:
    frame = SettingsFrame(0)
    frame.settings = {int(key): value for key, value in _values(limits, client=client).items()}
    out = (PREAMBLE if client else b"") + frame.serialize()
    if limits.connection_window > _DEFAULT_WINDOW:
        update = WindowUpdateFrame(0)
        update.window_increment = limits.connection_window - _DEFAULT_WINDOW
        out += update.serialize()
    return out
