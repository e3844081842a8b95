from collections.abc import AsyncIterator

import pytest

from tests.fakes.lab import Lab, whole_lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A server, and an agent that serves `/db` to this process."""
    async with whole_lab() as made:
        yield made
