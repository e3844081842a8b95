"""Waiting: for whichever comes first, and for all of several."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")


async def first_of(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run them side by side until one has ended; its failure is raised, the others cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def all_of(coroutines: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run them side by side and return their results; the first failure cancels the others.

    A task group would wrap the failure in an exception group, which callers cannot catch by type.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
