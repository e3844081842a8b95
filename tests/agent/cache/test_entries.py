from finial.agent.cache.entries import Entry, served_order
from finial.spiffe.spiffe_id import SpiffeId


def entry(entry_id: str, hint: str = "", created_at: int = 0) -> Entry:
    return Entry(
        id=entry_id,
        spiffe_id=SpiffeId(f"spiffe://example.org/{entry_id}"),
        selectors=frozenset(),
        hint=hint,
        created_at=created_at,
    )


def ids(*entries: Entry) -> list[str]:
    return [one.id for one in served_order(entries)]


def test_entries_are_served_by_id() -> None:
    assert ids(entry("b"), entry("c"), entry("a")) == ["a", "b", "c"]


def test_of_equal_hints_the_oldest_stays() -> None:
    assert ids(entry("a", "db", 20), entry("b", "db", 10), entry("c", "web", 5)) == ["b", "c"]


def test_of_equally_old_ones_the_smallest_id_stays() -> None:
    assert ids(entry("b", "db", 10), entry("a", "db", 10)) == ["a"]


def test_entries_without_a_hint_do_not_compete() -> None:
    assert ids(entry("b"), entry("a"), entry("c", "x")) == ["a", "b", "c"]
