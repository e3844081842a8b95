"""What objects of this process take, those that others have left behind not counted."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Growth:
    """Counts what Python has allocated since it was made, and not freed."""

    def each(self, number: int) -> float:
        """What each of `number` things has taken, in KiB."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / number / 1024


@contextmanager
def growth() -> Iterator[Growth]:
    gc.collect()
    tracemalloc.start()
    try:
        yield Growth()
    finally:
        tracemalloc.stop()
