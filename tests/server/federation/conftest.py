from pathlib import Path

import pytest

from tests.fakes.federation_lab import FederationLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FederationLab:
    return FederationLab(tmp_path, monkeypatch)
