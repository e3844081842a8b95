"""Selectors: what attestation found out about a node or a workload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


class SelectorError(ValueError):
    """A selector is malformed."""


@dataclass(frozen=True, slots=True, order=True)
class Selector:
    """One fact about a node or a workload; a value that exists is valid. Ordered type first.

    Attributes:
        type: the attestor's name, ``unix``; not empty, and without a colon.
        value: what it found, ``uid:0``; not empty, colons allowed.

    Raises:
        SelectorError: a part is missing, or the type has a colon.
    """

    type: str
    value: str

    def __post_init__(self) -> None:
        if not self.type:
            raise SelectorError("missing selector type")
        if ":" in self.type:
            raise SelectorError("selector type contains ':'")
        if not self.value:
            raise SelectorError("missing selector value")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``type:value``; the first colon divides.

        Raises:
            SelectorError: there is no colon, or a part is empty.
        """
        kind, colon, value = text.partition(":")
        if not colon:
            raise SelectorError(f'selector "{text}" must be formatted as type:value')
        return cls(kind, value)

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"
