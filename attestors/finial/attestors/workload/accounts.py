"""User and group names by number, remembered for a short time.

A look-up goes through the system's name services and may take milliseconds; the Workload API
asks on every call.
"""

from __future__ import annotations

import grp
import pwd
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TTL_SECONDS = 10.0
MAX_NAMES = 4096


class Accounts:
    """Names of users and groups; unknown numbers have none."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        user_name: Callable[[int], str] = lambda uid: pwd.getpwuid(uid).pw_name,
        group_name: Callable[[int], str] = lambda gid: grp.getgrgid(gid).gr_name,
    ) -> None:
        self._monotonic = monotonic
        self._look_up = {"user": user_name, "group": group_name}
        self._known: dict[tuple[str, int], tuple[float, str | None]] = {}

    def user(self, uid: int) -> str | None:
        return self._name("user", uid)

    def group(self, gid: int) -> str | None:
        return self._name("group", gid)

    def _name(self, kind: str, number: int) -> str | None:
        now = self._monotonic()
        entry = self._known.get((kind, number))
        if entry is not None and entry[0] > now:
            return entry[1]
        try:
            name: str | None = self._look_up[kind](number)
        except (KeyError, OSError):
            name = None
        if len(self._known) >= MAX_NAMES:
            self._known.clear()
        self._known[(kind, number)] = (now + TTL_SECONDS, name)
        return name
