"""How many calls one source address may make: callers over TCP only, local ones are unlimited.

A call over the rate waits for its turn. It is refused at once, taking nothing, when it asks for
more than a full bucket holds or when its turn would come after its deadline.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import grpc

from finial.runtime.clock import Clock
from finial.runtime.rpc import ServerContext, StatusError, TlsCaller
from finial.server.api.token_bucket import TokenBucket

_SWEEP_EVERY: Final = 60.0
"""Seconds between two sweeps of buckets that are full again."""


class Limited(Enum):
    """What shares a bucket."""

    ATTESTATION = "attest agent"
    X509_SIGNING = "certificate signing"
    JWT_SIGNING = "JWT signing request"
    WIT_SIGNING = "WIT signing request"
    STATUS = "post status"


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """Whether attestations and signatures are limited; statuses always are."""

    attestation: bool = True
    signing: bool = True

    def rates(self) -> Mapping[Limited, int]:
        """Calls (certificates) a second and address, which is the burst, too."""
        rates = {Limited.STATUS: 10}
        if self.attestation:
            rates[Limited.ATTESTATION] = 1
        if self.signing:
            signed = (Limited.X509_SIGNING, Limited.JWT_SIGNING, Limited.WIT_SIGNING)
            rates |= dict.fromkeys(signed, 500)
        return rates


class RateLimits:
    """The buckets, by what they limit and by source address. Owned by the API's event loop.

    `check_again` raises when a caller lost its right while it waited for its turn.
    """

    def __init__(
        self,
        clock: Clock,
        settings: RateLimitSettings,
        check_again: Callable[[ServerContext], None],
    ) -> None:
        self._clock = clock
        self._rates = settings.rates()
        self._check_again = check_again
        self._buckets: dict[tuple[Limited, str], TokenBucket] = {}
        self._swept = clock.monotonic()

    async def admit(self, context: ServerContext, limited: Limited, cost: int = 1) -> None:
        """Returns when the caller may go on.

        Raises:
            StatusError: ResourceExhausted, the call asks for more than it can get in time; and
                what the gate raises now.
        """
        rate = self._rates.get(limited)
        caller = context.caller
        if rate is None or not isinstance(caller, TlsCaller) or cost == 0:
            return
        if cost > rate:
            raise _refusal(limited, f"rate ({cost}) exceeds burst size ({rate})")
        now = self._clock.monotonic()
        bucket = self._bucket(limited, host_of(caller.address), rate, now)
        wait = bucket.wait_for(cost, now)
        remaining = context.time_remaining()
        if remaining is not None and wait > remaining:
            raise _refusal(limited, "the turn of this call comes after its deadline")
        bucket.take(cost, now)
        if wait > 0:
            await self._turn(bucket, cost, wait)
            self._check_again(context)

    async def _turn(self, bucket: TokenBucket, cost: int, wait: float) -> None:
        """Wait; who gives up lets others have the turn, or each address could be kept waiting."""
        try:
            await self._clock.sleep(wait)
        except asyncio.CancelledError:
            bucket.give_back(cost)
            raise

    def _bucket(self, limited: Limited, host: str, rate: int, now: float) -> TokenBucket:
        if now - self._swept >= _SWEEP_EVERY:
            self._swept = now
            self._buckets = {k: b for k, b in self._buckets.items() if not b.is_full(now)}
        bucket = self._buckets.get((limited, host))
        if bucket is None:
            bucket = TokenBucket.full(rate, rate, now)
            self._buckets[(limited, host)] = bucket
        return bucket


def host_of(address: str) -> str:
    """The host of "host:port" or "[v6]:port": the port changes with each connection."""
    return address.rpartition(":")[0] or address


def _refusal(limited: Limited, why: str) -> StatusError:
    return StatusError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"rejecting request due to {limited.value} rate limiting: {why}",
    )
