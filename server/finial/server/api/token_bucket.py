"""A token bucket, pure: the clock is an argument."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """`rate` tokens a second, at most `burst` kept."""

    rate: float
    burst: float
    tokens: float
    updated: float

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> "TokenBucket":
        return cls(rate=rate, burst=burst, tokens=burst, updated=now)

    def wait_for(self, cost: float, now: float) -> float:
        """Seconds from `now` until `cost` tokens are there; takes nothing."""
        self._refill(now)
        return max(0.0, (cost - self.tokens) / self.rate)

    def take(self, cost: float, now: float) -> None:
        """Takes `cost` tokens, which the caller has waited for."""
        self._refill(now)
        self.tokens -= cost

    def is_full(self, now: float) -> bool:
        """Whether forgetting this bucket would change nothing."""
        self._refill(now)
        return self.tokens >= self.burst

    def _refill(self, now: float) -> None:
        if now > self.updated:
            self.tokens = min(self.burst, self.tokens + (now - self.updated) * self.rate)
            self.updated = now
