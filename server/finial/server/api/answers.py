"""Encoded answers, kept as long as what they encode stays the very same object."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Final, NamedTuple

_KEPT_BYTES: Final = 64 * 1024 * 1024
_KEPT_ANSWERS: Final = 65_536
"""An empty answer has no bytes, and still a place; agents come and go."""


class _Answer(NamedTuple):
    source: object
    pages: Sequence[bytes]
    size: int


class Answers:
    """Bounded in bytes and number: what was not asked for the longest time goes first."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES, kept_answers: int = _KEPT_ANSWERS) -> None:
        self._kept_bytes = kept_bytes
        self._kept_answers = kept_answers
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._size = 0

    def get(
        self, key: Hashable, source: object, encode: Callable[[], Sequence[bytes]]
    ) -> Sequence[bytes]:
        """What was encoded for `key` from `source`; encodes it when `source` is another object."""
        known = self._answers.get(key)
        if known is not None:
            if known.source is source:
                self._answers.move_to_end(key)
                return known.pages
            self._drop(key)
        pages = encode()
        self._keep(key, _Answer(source, pages, sum(map(len, pages))))
        return pages

    def _keep(self, key: Hashable, answer: _Answer) -> None:
        if answer.size > self._kept_bytes:
            return
        self._answers[key] = answer
        self._size += answer.size
        while self._size > self._kept_bytes or len(self._answers) > self._kept_answers:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Hashable) -> None:
        self._size -= self._answers.pop(key).size
