"""JSON from strangers: one reading, or none.

Python's own reader takes a repeated member (the last wins, elsewhere the first), ``NaN``, numbers
of any size, and half a surrogate pair; each is a way to make two programs see different documents,
or to make a later step fail. All of them are refused here.
"""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DIGITS = 40
"""Digits of an integer: twice what a 64-bit one needs."""


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object from UTF-8 bytes.

    Raises:
        ValueError: not UTF-8, not JSON, not an object, or one of the ambiguities above. The message
            is fit to be shown.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    if type(document) is not dict:
        raise ValueError("not a JSON object")
    if "\\u" in text:
        _refuse_half_characters(document)
    return document


def is_integer(value: object) -> bool:
    """Whether a JSON value is an integer; ``true`` is none, though Python thinks so."""
    return type(value) is int


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is given twice")
    return members


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number is too large")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"not JSON: {text}")


def _refuse_half_characters(document: object) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair in a string") from None


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
)
