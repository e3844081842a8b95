"""How many calls a caller may make: over TCP only, local callers are unlimited.

A caller is the identity that the gate found, an agent's or a downstream server's, or else the
address that the call comes from, of IPv6 the /64. Nothing is verified, signed or stored before a
call was admitted here, and a refusal costs no more than looking into a dictionary.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from finial.runtime.clock import Clock
from finial.runtime.rpc import ServerContext, StatusError, TlsCaller, network_of
from finial.server.api.authorization import CallerKind
from finial.server.api.gate import Identity
from finial.server.api.token_bucket import TokenBucket
from finial.server.api.turns import CrowdedError, Line, Turns

MOST_LINES: Final = 65_536
"""Callers that are known at once; those above share a bucket. A bucket takes about 300 bytes."""
MOST_WAITING: Final = 16_384
"""Calls that wait at once, all callers together; the longest line gives way."""
MOST_OF_ONE: Final = 4_096
"""Calls of one caller that wait at once."""
LONGEST_WAIT: Final = 60.0
"""Seconds: a call whose turn would come later is told to come again."""

_OTHERS: Final = "others"
_ATTESTED: Final = frozenset({CallerKind.AGENT, CallerKind.DOWNSTREAM})


class Limited(Enum):
    """What shares a bucket."""

    ATTESTATION = "attestation"
    X509_SIGNING = "x509 signing"
    JWT_SIGNING = "jwt signing"
    WIT_SIGNING = "wit signing"
    JWT_KEYS = "jwt keys"
    WIT_KEYS = "wit keys"
    STATUS = "status"


_SPIRES_WORDS: Final = {
    Limited.ATTESTATION: "attest agent rate limiting",
    Limited.X509_SIGNING: "certificate signing rate limiting",
    Limited.JWT_SIGNING: "JWT signing request rate limiting",
    Limited.WIT_SIGNING: "certificate signing rate limiting",
    Limited.JWT_KEYS: "key publishing rate limiting",
    Limited.WIT_KEYS: "key publishing rate limiting",
    Limited.STATUS: "post status rate limiting",
}


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """Whether attestations and signatures are limited, and to how many a second.

    A rate is a caller's, and the burst, too. Statuses and published keys are always limited.
    """

    attestation: bool = True
    signing: bool = True
    attestations_per_second: int = 50
    signatures_per_second: int = 500

    def rates(self) -> Mapping[Limited, int]:
        """Calls (certificates) a second and caller, which is the burst, too."""
        rates = {Limited.STATUS: 10, Limited.JWT_KEYS: 500, Limited.WIT_KEYS: 500}
        if self.attestation:
            rates[Limited.ATTESTATION] = self.attestations_per_second
        if self.signing:
            signed = (Limited.X509_SIGNING, Limited.JWT_SIGNING, Limited.WIT_SIGNING)
            rates |= dict.fromkeys(signed, self.signatures_per_second)
        return rates


class RateLimits:
    """The buckets, by what they limit and by caller. Owned by the API's event loop.

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
        self._lines: OrderedDict[tuple[Limited, str], Line] = OrderedDict()
        self._turns = Turns(clock, most=MOST_WAITING, of_one=MOST_OF_ONE, longest=LONGEST_WAIT)

    @property
    def waiting(self) -> int:
        """How many calls wait for their turn."""
        return self._turns.waiting

    def __len__(self) -> int:
        """How many callers' buckets are kept."""
        return len(self._lines)

    async def admit(
        self, context: ServerContext, limited: Limited, cost: int = 1, *, what: str = ""
    ) -> None:
        """Returns when the caller may go on; `what` are the words for what it does.

        Raises:
            StatusError: ResourceExhausted, the call asks for more than it can get in time, with
                google.rpc.RetryInfo unless it asks for more than anybody gets at once; and what
                the gate raises now.
        """
        rate = self._rates.get(limited)
        caller = context.caller
        if rate is None or not isinstance(caller, TlsCaller) or cost == 0:
            return
        what = what or _SPIRES_WORDS[limited]
        if cost > rate:
            raise _refusal(what, f"rate ({cost}) exceeds burst size ({rate})")
        line = self._line(limited, caller_of(context, caller), rate)
        if line.take_at_once(cost, self._clock.monotonic()):
            return
        try:
            await self._turns.wait(line, cost, context.time_remaining())
        except CrowdedError as error:
            raise _refusal(what, str(error), error.retry_after) from None
        self._check_again(context)

    def _line(self, limited: Limited, caller: str, rate: int) -> Line:
        key, now = (limited, caller), self._clock.monotonic()
        line = self._lines.get(key)
        if line is None:
            self._forget_some(now)
            if len(self._lines) >= MOST_LINES:
                key = (limited, _OTHERS)
                line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line(TokenBucket.full(rate, rate, now))
        self._lines.move_to_end(key)
        return line

    def _forget_some(self, now: float) -> None:
        """Drop what says nothing any more, two for each that comes: a flood leaves nothing."""
        for _ in range(2):
            if self._lines:
                key, oldest = next(iter(self._lines.items()))
                if not oldest.is_idle(now):
                    return
                del self._lines[key]


def caller_of(context: ServerContext, caller: TlsCaller) -> str:
    """Whose bucket a call draws from: an attested identity's, or else its address's.

    An identity is what the gate let in on this call; a certificate alone is none, for one that was
    banned or evicted has it still.
    """
    identity = context.identity
    if isinstance(identity, Identity) and identity.kind in _ATTESTED and caller.svid is not None:
        return caller.svid.id.uri
    return network_of(host_of(caller.address))


def host_of(address: str) -> str:
    """The host in "ipv4:host:port" or "ipv6:[host]:port": the port changes with each connection."""
    return address.partition(":")[2].rpartition(":")[0].strip("[]") or address


def _refusal(what: str, why: str, retry_after: float | None = None) -> StatusError:
    details = () if retry_after is None else (RetryInfo(retry_delay=_duration(retry_after)),)
    return StatusError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, f"rejecting request due to {what}: {why}", details
    )


def _duration(seconds: float) -> Duration:
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)
