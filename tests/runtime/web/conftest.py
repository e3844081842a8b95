import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, unlike tmp_path: a Unix socket's path ends at 107 characters."""
    with tempfile.TemporaryDirectory(prefix="web") as path:
        yield Path(path)
