"""Floods: frames that cost the peer less than us, counted by kind against a rate.

Sans I/O. A count is an int that is counted down; the clock is read only when it is used up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from h2.exceptions import DenialOfServiceError

PING, SETTINGS, PRIORITY, UNKNOWN, EMPTY_DATA, WINDOW_UPDATE, RESET, REFUSED, GOAWAY = range(9)
_NAMES = (
    "PING frames",
    "SETTINGS frames",
    "PRIORITY frames",
    "frames of unknown types",
    "empty DATA frames",
    "WINDOW_UPDATE frames",
    "streams reset before their answer",
    "streams above the limit",
    "GOAWAY frames",
)

# Ten thousand streams may be answered at once, before the first window for any of them comes.
_ANSWERED = 32


class Rate(NamedTuple):
    """How many at once, how many more for each second and for each of our answers."""

    burst: int
    per_second: int
    per_answer: int = 0

    def __str__(self) -> str:
        text = f"{self.burst} and {self.per_second}/s"
        return text + (f" and {self.per_answer} for each answer" if self.per_answer else "")


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """Rates of one connection; above one it ends with GOAWAY ENHANCE_YOUR_CALM.

    An answer is a message or a status that we send, or another 4 KiB of a long message. What was
    earned before counts for no more than one more burst by time, and 32 by answers.
    """

    ping: Rate = Rate(1000, 20, 4)  # noqa: RUF009
    """grpc-go asks once a round trip while data comes in, hence by our answers, as its own server
    counts (two strikes, forgiven with each frame sent). Keepalive of any gRPC: one in 10 s."""

    settings: Rate = Rate(100, 5)  # noqa: RUF009
    """A frame counts once for each 1,024 open streams, which a new window has to reach (1.2 ms).
    grpc-go doubles its window eight times at most; Envoy and grpcio send one or two. A frame of
    more than 32 settings is refused, as by nghttp2."""

    priority: Rate = Rate(200, 10)  # noqa: RUF009
    """No gRPC client sends any; curl one a stream. Envoy lets pass 100 a stream."""

    unknown: Rate = Rate(200, 10)  # noqa: RUF009
    """Extensions, and 1xx responses: browsers send such a frame a connection, or one a stream."""

    empty_data: Rate = Rate(200, 10)  # noqa: RUF009
    """DATA without data or end. No gRPC client sends any; Envoy lets pass one in a row."""

    window_update: Rate = Rate(2000, 500, 8)  # noqa: RUF009
    """Also resets and empty DATA for streams that are closed. For each DATA frame of ours there may
    come two, and two for a call that is over; Envoy lets pass ten for each DATA frame."""

    reset: Rate = Rate(1000, 200)  # noqa: RUF009
    """Rapid reset (CVE-2023-44487): streams reset by the client before any answer, and streams that
    its broken frames made us reset (CVE-2025-8671). nghttp2 has 1000 and 33/s. The burst is never
    less than twice `max_concurrent_streams`: all calls may be cancelled at once."""

    refused: Rate = Rate(10_000, 1000)  # noqa: RUF009
    """Streams above `max_concurrent_streams`: a client may open many before it hears of the
    limit, and each costs us a few microseconds."""

    goaway: Rate = Rate(10, 1)  # noqa: RUF009
    """A server that drains sends two."""


class FloodError(DenialOfServiceError):
    """The peer has gone above `limit` of `kind`; both are for the log and for the GOAWAY."""

    def __init__(self, kind: str, limit: object) -> None:
        super().__init__(f"too many {kind}: more than {limit}")
        self.kind = kind


class Meters:
    """What is left of each rate on one connection. `left` is counted down by the engine."""

    __slots__ = ("_born", "_clock", "_rates", "_seen", "left")

    def __init__(self, rates: tuple[Rate, ...], clock: Callable[[], float]) -> None:
        self._rates = rates
        self._clock = clock
        self.left = [rate.burst for rate in rates]
        self._born = (clock(), 0)
        # When a rate was last found used up, and after how many answers.
        self._seen: dict[int, tuple[float, int]] | None = None

    def earn(self, kind: int, answers: int) -> None:
        """Add what was earned since the last time.

        Raises:
            FloodError: it does not cover what was used.
        """
        rate = self._rates[kind]
        if self._seen is None:
            self._seen = {}
        since, before = self._seen.get(kind, self._born)
        now = self._clock()
        left = self.left[kind] + min(int((now - since) * rate.per_second), rate.burst)
        left += min((answers - before) * rate.per_answer, rate.burst * _ANSWERED)
        if left < 0:
            raise FloodError(_NAMES[kind], rate)
        self.left[kind] = left
        self._seen[kind] = (now, answers)


@lru_cache(maxsize=16)
def rates(limits: FloodLimits, streams: int) -> tuple[Rate, ...]:
    """Return the rates by kind for a connection of so many concurrent streams."""
    reset = limits.reset._replace(burst=max(limits.reset.burst, 2 * streams))
    return (
        limits.ping,
        limits.settings,
        limits.priority,
        limits.unknown,
        limits.empty_data,
        limits.window_update,
        reset,
        limits.refused,
        limits.goaway,
    )
