"""What two servers answered, beside each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tests.interop.likeness.intended import INTENDED, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.interop.likeness.intended import Intended
    from tests.interop.likeness.playing import Shown


LONGEST = 400


@dataclass(frozen=True)
class Difference:
    """A step that was answered otherwise."""

    name: str
    spire: Shown | None
    finial: Shown | None

    def __str__(self) -> str:
        lines = [f"    {where}: SPIRE {_cut(a)}, here {_cut(b)}" for where, a, b in self._leaves()]
        return "\n".join((self.name, *lines))

    def _leaves(self) -> Iterator[tuple[str, Any, Any]]:
        theirs, ours = (asdict(each) if each else {} for each in (self.spire, self.finial))
        return _leaves("", theirs, ours)


def _leaves(where: str, theirs: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    """The smallest parts that differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys((*theirs, *ours)):
            yield from _leaves(f"{where}.{name}", theirs.get(name), ours.get(name))
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from _leaves(f"{where}.{number}", one, other)
    elif theirs != ours:
        yield where, theirs, ours


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def compare(
    spire: Mapping[str, Shown],
    finial: Mapping[str, Shown],
    intended: Mapping[str, Intended] = INTENDED,
) -> tuple[list[Difference], list[str]]:
    """What differs though it should not, and what is in the table although it does not differ."""
    different, used = [], set[str]()
    for name in dict.fromkeys((*spire, *finial)):
        theirs, ours = spire.get(name), finial.get(name)
        if theirs == ours:
            continue
        known = intended.get(name)
        used.update({name} if known else ())
        if known is None or not _alike_but_for(known.part, theirs, ours):
            different.append(Difference(name, theirs, ours))
    return different, sorted(intended.keys() - used)


def _alike_but_for(part: Part, theirs: Shown | None, ours: Shown | None) -> bool:
    if theirs is None or ours is None:
        return False
    if part is Part.TEXT:
        return bool(_without_texts(theirs) == _without_texts(ours))
    if part is Part.CODE:
        return "OK" not in {theirs.code, ours.code} and theirs.answers == ours.answers
    return part is Part.OUTCOME


def _without_texts(shown: Shown) -> Any:
    """The outcome without messages of statuses, the call's and the items'."""
    return shown.code, shown.reasons, _untold(shown.answers)


def _untold(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _untold(each) for name, each in value.items() if name != "message"}
    if isinstance(value, list):
        return [_untold(each) for each in value]
    return value
