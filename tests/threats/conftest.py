"""A server's API over real TLS, everything real but the signers; and what it said of a call."""

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.server_api import ApiLab, open_lab

Told = Callable[[str], list[dict[str, Any]]]
"""The fields of every log line with a message, oldest first."""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ApiLab]:
    async with open_lab(tmp_path) as opened:
        yield opened


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    caplog.set_level(logging.DEBUG, logger="finial")

    def lines(message: str) -> list[dict[str, Any]]:
        found = [record for record in caplog.records if record.getMessage() == message]
        return [{"level": each.levelname, **each.__dict__["data"]} for each in found]

    return lines
