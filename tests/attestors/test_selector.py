"""Selectors as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.attestors.selector import Selector, SelectorError


def test_the_first_colon_divides_type_and_value() -> None:
    selector = Selector.parse("unix:uid:0")
    assert (selector.type, selector.value) == ("unix", "uid:0")
    assert str(selector) == "unix:uid:0"


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("", "v", "missing selector type"),
        ("a:b", "v", "selector type contains ':'"),
        ("a", "", "missing selector value"),
    ],
)
def test_a_selector_with_a_part_missing_does_not_exist(kind: str, value: str, why: str) -> None:
    with pytest.raises(SelectorError, match=why):
        Selector(kind, value)


@pytest.mark.parametrize("text", ["", "unix", ":v", "unix:"])
def test_text_that_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        Selector.parse(text)


def test_selectors_are_ordered_by_type_and_then_value() -> None:
    texts = ["unix:uid:0", "k8s:ns:b", "unix:gid:0", "k8s:ns:a"]
    assert [str(s) for s in sorted(map(Selector.parse, texts))] == [
        "k8s:ns:a",
        "k8s:ns:b",
        "unix:gid:0",
        "unix:uid:0",
    ]


def test_equal_selectors_are_one() -> None:
    assert len({Selector("a", "b"), Selector.parse("a:b")}) == 1


@given(st.text())
def test_any_text_is_a_selector_written_the_same_or_refused(text: str) -> None:
    try:
        assert str(Selector.parse(text)) == text
    except SelectorError:
        return
