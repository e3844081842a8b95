"""Encoded answers that are kept."""

from finial.server.api.answers import Answers


class Maker:
    def __init__(self, *pages: bytes) -> None:
        self.pages = pages
        self.calls = 0

    def __call__(self) -> tuple[bytes, ...]:
        self.calls += 1
        return self.pages


def test_the_same_source_is_encoded_once() -> None:
    answers, make, source = Answers(), Maker(b"page"), object()
    assert answers.get("key", source, make) == answers.get("key", source, make) == (b"page",)
    assert make.calls == 1


def test_another_source_is_encoded_anew() -> None:
    answers, make = Answers(), Maker(b"page")
    answers.get("key", object(), make)
    answers.get("key", object(), make)
    assert make.calls == 2


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    answers, make, source = Answers(kept_bytes=8), Maker(b"1234"), object()
    answers.get("a", source, make)
    answers.get("b", source, make)
    answers.get("a", source, make)
    answers.get("c", source, make)
    assert make.calls == 3
    answers.get("a", source, make)
    assert make.calls == 3
    answers.get("b", source, make)
    assert make.calls == 4


def test_an_answer_larger_than_all_that_may_be_kept_is_given_and_not_kept() -> None:
    answers, make, source = Answers(kept_bytes=3), Maker(b"1234"), object()
    assert answers.get("a", source, make) == (b"1234",)
    answers.get("a", source, make)
    assert make.calls == 2


def test_empty_answers_are_bounded_in_number() -> None:
    answers, make, source = Answers(kept_answers=2), Maker(b""), object()
    for key in ("a", "b", "c"):
        answers.get(key, source, make)
    assert len(answers._answers) == 2
    answers.get("c", source, make)
    assert make.calls == 3
