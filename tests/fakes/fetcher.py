"""Bundle endpoints that a test answers for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from finial.server.federation.fetcher import FetchError
from finial.spiffe.bundle import Bundle
from finial.spiffe.federation import FetchedBundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from finial.spiffe.bundle import BundleSource
    from finial.spiffe.federation import Relationship


class FakeFetcher:
    """Answers with `served` by trust domain; with what `hanging` names it never comes back.

    Every answer waits for `gate`, if there is one, and has the same `complaints`.
    """

    def __init__(self) -> None:
        self.served: dict[str, Bundle | Exception | Callable[[BundleSource], Bundle]] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.complaints: tuple[str, ...] = ()
        self.gate: asyncio.Event | None = None

    async def fetch(self, relationship: Relationship, bundles: BundleSource) -> FetchedBundle:
        name = relationship.trust_domain.name
        self.asked.append(name)
        if name in self.hanging:
            await asyncio.Event().wait()
        if self.gate is not None:
            await self.gate.wait()
        answer = self.served.get(name, FetchError("connection refused"))
        if isinstance(answer, Exception):
            raise answer
        bundle = answer if isinstance(answer, Bundle) else answer(bundles)
        return FetchedBundle(bundle, self.complaints)


class MiddleRng:
    """Always the middle: jitter that is none."""

    def uniform(self, a: float, b: float, /) -> float:
        return (a + b) / 2
