"""A server's API with everything real but the signers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.server_api import ApiLab, open_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ApiLab]:
    async with open_lab(tmp_path) as opened:
        yield opened
