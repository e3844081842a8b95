"""A memory of signatures that were verified once."""

from __future__ import annotations

from hashlib import sha256


class ProvenSignatures:
    """Remembers which key proved which token, so that the dear operation is done once.

    What is remembered is one fact and no more: *this public key verifies this token's signature*.
    It is a pure function of the key and of the token's bytes, and never ceases to be true. So:

    - An entry is found under SHA-256 over the key's SubjectPublicKeyInfo, its length first, and the
      whole token, header and signature included. Another key under the same ``kid``, another
      algorithm in the header, one bit changed anywhere: another entry, hence a real verification.
    - Only success is remembered, after the signature was verified; a stranger who cannot sign puts
      nothing in, and can push nothing out.
    - Whether the key is in the bundle *now*, and every rule about claims, audience and time, is
      judged afresh on each call, before this memory is asked. A key that left the bundle validates
      nothing, though its signatures are remembered.
    - A digest is no token: whoever reads this memory cannot present what is in it.

    The holder of a token can learn from the time it takes that it was validated here lately;
    nothing else depends on a secret. The least recently used go first. Not for use from several
    threads.
    """

    __slots__ = ("_capacity", "_seen")

    def __init__(self, capacity: int = 4096) -> None:
        """Remember at most `capacity` signatures, some 150 bytes each."""
        self._capacity = capacity
        self._seen: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._seen)

    @staticmethod
    def fact(spki_der: bytes, token: str) -> bytes:
        """The name of the fact that a key verifies a token's signature."""
        return sha256(len(spki_der).to_bytes(4, "big") + spki_der + token.encode("ascii")).digest()

    def knows(self, fact: bytes) -> bool:
        """Whether the fact was proven here."""
        if fact not in self._seen:
            return False
        del self._seen[fact]
        self._seen[fact] = None
        return True

    def add(self, fact: bytes) -> None:
        """Remember a fact that has just been proven."""
        self._seen[fact] = None
        if len(self._seen) > self._capacity:
            del self._seen[next(iter(self._seen))]
