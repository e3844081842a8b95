"""The JWT-SVIDs the agent holds: a bounded cache, least recently used goes first."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finial.agent import rotation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finial.spiffe.spiffe_id import SpiffeId

DEFAULT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A JWT-SVID; times are Unix seconds. Its text is a secret: keep it out of logs."""

    token: str
    spiffe_id: SpiffeId
    issued_at: float
    expires_at: float
    key_id: str

    def __repr__(self) -> str:
        return f"HeldToken(spiffe_id={self.spiffe_id.uri!r}, expires_at={self.expires_at!r})"

    def valid(self, now: float) -> bool:
        return now < self.expires_at

    def wants_refresh(self, now: float) -> bool:
        """Whether half of its life is over."""
        return now >= rotation.refresh_time(self.issued_at, self.expires_at)

    def nearly_expired(self, now: float) -> bool:
        """Whether a caller should wait for a fresh one."""
        return now >= rotation.must_wait_time(self.issued_at, self.expires_at)


def token_key(spiffe_id: SpiffeId, audience: Iterable[str]) -> bytes:
    """Return the cache key of an identity and an audience; the order of the audience is no matter.

    No part can hold a NUL that would let two requests share a key: an audience with one is
    escaped by its length.
    """
    digest = hashlib.sha256(spiffe_id.uri.encode())
    for value in sorted(audience):
        raw = value.encode()
        digest.update(b"\0%d\0" % len(raw))
        digest.update(raw)
    return digest.digest()


class TokenShelf:
    """JWT-SVIDs by token_key; `limit` is hard."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._held: OrderedDict[bytes, HeldToken] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: bytes, now: float) -> HeldToken | None:
        """Return the token if it is still valid."""
        held = self._held.get(key)
        if held is None:
            return None
        if not held.valid(now):
            del self._held[key]
            return None
        self._held.move_to_end(key)
        return held

    def put(self, key: bytes, held: HeldToken) -> None:
        self._held[key] = held
        self._held.move_to_end(key)
        while len(self._held) > self._limit:
            self._held.popitem(last=False)

    def drop_signed_by(self, key_ids: frozenset[str]) -> int:
        """Drop the tokens signed by these keys; return how many there were."""
        bad = [key for key, held in self._held.items() if held.key_id in key_ids]
        for key in bad:
            del self._held[key]
        return len(bad)
