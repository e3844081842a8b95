from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, messages

CORPUS = Path(__file__).parent / "corpus"


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


@pytest.fixture(autouse=True, scope="module")
def _ended() -> Iterator[None]:
    yield
    messages.close()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_kept_input_raises_anything_but_the_error_tree(name: str) -> None:
    for path in sorted((CORPUS / name).iterdir()):
        TARGETS[name](path.read_bytes())
