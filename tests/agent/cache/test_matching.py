import random

from finial.agent.cache.matching import SubsetIndex, SupersetIndex
from finial.attestors.selector import Selector


def sel(*values: str) -> frozenset[Selector]:
    return frozenset(Selector("unix", value) for value in values)


def test_a_set_is_found_by_callers_that_have_all_of_it() -> None:
    index: SubsetIndex[str] = SubsetIndex()
    index.add(sel("uid:0"), "one")
    index.add(sel("uid:0", "gid:0"), "both")
    index.add(sel("uid:1"), "other")
    assert set(index.within(sel("uid:0", "gid:0", "gid:5"))) == {"one", "both"}
    assert index.within(sel("uid:0")) == ["one"]
    assert index.within(sel("gid:0")) == []


def test_an_entry_without_selectors_is_nobodys() -> None:
    index: SubsetIndex[str] = SubsetIndex()
    index.add(sel(), "open to all?")
    assert index.within(sel("uid:0")) == []
    index.discard(sel(), "open to all?")


def test_what_was_discarded_is_not_found_and_leaves_nothing_behind() -> None:
    index: SubsetIndex[str] = SubsetIndex()
    index.add(sel("uid:0", "gid:0"), "a")
    index.add(sel("uid:0", "gid:0"), "b")
    index.discard(sel("uid:0", "gid:0"), "a")
    assert index.within(sel("uid:0", "gid:0")) == ["b"]
    index.discard(sel("uid:0", "gid:0"), "b")
    index.discard(sel("uid:0", "gid:0"), "never there")
    assert index.within(sel("uid:0", "gid:0")) == []
    assert not index._at
    assert not index._uses


def test_the_index_agrees_with_looking_at_everything() -> None:
    rng = random.Random(7)
    universe = [f"v:{number}" for number in range(12)]
    stored: dict[int, frozenset[Selector]] = {}
    index: SubsetIndex[int] = SubsetIndex()
    for step in range(2000):
        if stored and rng.random() < 0.4:
            key = rng.choice(list(stored))
            index.discard(stored.pop(key), key)
        else:
            stored[step] = sel(*rng.sample(universe, rng.randint(1, 4)))
            index.add(stored[step], step)
        caller = sel(*rng.sample(universe, rng.randint(0, 8)))
        expected = {key for key, selectors in stored.items() if selectors <= caller}
        assert set(index.within(caller)) == expected


def test_a_caller_meets_few_of_many_entries_that_share_a_selector() -> None:
    index: SubsetIndex[int] = SubsetIndex()
    for number in range(5000):
        index.add(sel("uid:0", f"path:/bin/{number}"), number)
    visited = sum(len(index._at.get(one, ())) for one in sel("uid:0", "path:/bin/4711"))
    assert index.within(sel("uid:0", "path:/bin/4711")) == [4711]
    assert visited < 10


def test_a_view_is_found_by_any_part_of_its_selectors() -> None:
    views: SupersetIndex[str] = SupersetIndex()
    views.add(sel("uid:0", "gid:0"), "root")
    views.add(sel("uid:0", "gid:1"), "other")
    assert set(views.containing(sel("uid:0"))) == {"root", "other"}
    assert views.containing(sel("uid:0", "gid:1")) == ["other"]
    assert views.containing(sel("uid:9")) == []
    assert views.containing(sel()) == []
    views.discard(sel("uid:0", "gid:0"), "root")
    assert views.containing(sel("uid:0")) == ["other"]
