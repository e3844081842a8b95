"""Filters that several commands share: sets of selectors and of trust domains."""

from collections.abc import Sequence

from finial.api.spire.types_pb2 import FederatesWithMatch, Selector, SelectorMatch
from finial.runtime.cli.flags import Flag, text, texts

MODES = ("exact", "subset", "superset", "any")
"""In the order of the messages' enums, which are the same."""
SELECTOR_FLAGS: tuple[Flag, ...] = (
    texts("selector", "A selector as type:value; may be given more than once"),
    text("matchSelectorsOn", f"How selectors must match: {', '.join(MODES)}", "superset"),
)


def mode_number(mode: str) -> int | None:
    """The enum's number of a mode; None for an unknown one."""
    return MODES.index(mode) if mode in MODES else None


def selector_match(selectors: Sequence[Selector], mode: int) -> SelectorMatch:
    """The filter for a set of selectors."""
    return SelectorMatch(
        selectors=selectors,
        match=SelectorMatch.MatchBehavior.Name(mode),  # type: ignore[arg-type]
    )


def federates_with_match(names: Sequence[str], mode: int) -> FederatesWithMatch:
    """The filter for a set of trust domains."""
    return FederatesWithMatch(
        trust_domains=names,
        match=FederatesWithMatch.MatchBehavior.Name(mode),  # type: ignore[arg-type]
    )
