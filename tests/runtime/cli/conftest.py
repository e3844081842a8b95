import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@pytest.fixture
def utc() -> Iterator[None]:
    with zone("UTC"):
        yield


@pytest.fixture
def tokyo() -> Iterator[None]:
    with zone("JST-9"):
        yield
