"""Lines of calls that wait for tokens: each caller's in the order in which they came.

Nobody who gives up keeps the others waiting: the next moves up. Lines are bounded in length and in
time, each and all together. When all together are too many, the longest line's last call gives way
to one of a shorter line, so that one caller can't keep the others from waiting.
"""

import asyncio
from collections import deque

from finial.runtime.clock import Clock
from finial.server.api.token_bucket import TokenBucket

_SOON = 1e-6  # seconds that rounding may leave; waiting for them would have no end


class CrowdedError(Exception):
    """A call doesn't get its turn; `retry_after` is in how many seconds it could."""

    def __init__(self, why: str, retry_after: float) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class _Turn:
    """One call in a line; `first` is done when it is its head."""

    __slots__ = ("cost", "first")

    def __init__(self, cost: int) -> None:
        self.cost = cost
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Line:
    """A caller's bucket and the calls that wait for it."""

    __slots__ = ("bucket", "owed", "turns")

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.turns: deque[_Turn] = deque()
        self.owed = 0

    def take_at_once(self, cost: int, now: float) -> bool:
        """Whether nobody waits and the tokens are there; takes them then."""
        if self.turns or self.bucket.wait_for(cost, now) > 0:
            return False
        self.bucket.take(cost, now)
        return True

    def is_idle(self, now: float) -> bool:
        """Whether forgetting this line would change nothing."""
        return not self.turns and self.bucket.is_full(now)

    def join(self, turn: _Turn) -> None:
        self.turns.append(turn)
        self.owed += turn.cost
        self._call_first()

    def leave(self, turn: _Turn) -> None:
        self.turns.remove(turn)
        self.owed -= turn.cost
        self._call_first()

    def _call_first(self) -> None:
        if self.turns and not self.turns[0].first.done():
            self.turns[0].first.set_result(None)


class Turns:
    """Lets calls wait; bounds are calls in all and of one line, and seconds."""

    def __init__(self, clock: Clock, *, most: int, of_one: int, longest: float) -> None:
        self._clock = clock
        self._most = most
        self._of_one = of_one
        self._longest = longest
        self._lines: dict[int, Line] = {}  # those in which somebody waits, by id()
        self.waiting = 0

    async def wait(self, line: Line, cost: int, patience: float | None) -> None:
        """Returns with the tokens taken; `patience` is what the call has left, in seconds.

        Raises:
            CrowdedError: the turn would come too late, or too many wait.
        """
        self._look_ahead(line, cost, patience)
        turn = _Turn(cost)
        self.waiting += 1
        self._lines[id(line)] = line
        line.join(turn)
        try:
            await turn.first
            await self._tokens(line.bucket, cost)
        finally:
            self._gone(line, turn)

    async def _tokens(self, bucket: TokenBucket, cost: int) -> None:
        while (left := bucket.wait_for(cost, self._clock.monotonic())) > _SOON:
            await self._clock.sleep(left)
        bucket.take(cost, self._clock.monotonic())

    def _look_ahead(self, line: Line, cost: int, patience: float | None) -> None:
        wait = line.bucket.wait_for(line.owed + cost, self._clock.monotonic())
        if patience is not None and wait > patience:
            raise CrowdedError("the turn of this call comes after its deadline", wait)
        if wait > self._longest or len(line.turns) >= self._of_one:
            raise CrowdedError("too many calls of this caller are waiting", wait)
        if self.waiting >= self._most:
            self._make_room(line, wait)

    def _make_room(self, line: Line, wait: float) -> None:
        longest = max(self._lines.values(), key=_length)
        if _length(longest) <= _length(line) + 1:
            raise CrowdedError("too many calls are waiting", wait)
        last = longest.turns[-1]  # not the first: it has one before it
        if not last.first.done():  # it has just given up by itself
            last.first.set_exception(CrowdedError("too many calls are waiting", wait))
        self._gone(longest, last)

    def _gone(self, line: Line, turn: _Turn) -> None:
        """Take a turn out of its line; once, whoever is first to do it."""
        if turn not in line.turns:
            return
        line.leave(turn)
        self.waiting -= 1
        if not line.turns:
            self._lines.pop(id(line), None)


def _length(line: Line) -> int:
    return len(line.turns)
