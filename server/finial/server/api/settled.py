"""Read your writes: a change is answered when the indexes show it."""

from collections.abc import Awaitable, Callable

Settled = Callable[[], Awaitable[None]]
"""Returns when everything that this server has committed so far is in its indexes."""
