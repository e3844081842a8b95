from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from finial.attestors.selector import Selector
from finial.server.registry.index import EntryIndex
from finial.server.registry.model import Entry
from finial.spiffe.spiffe_id import SpiffeId

SERVER = SpiffeId("spiffe://example.org/spire/server")
NODE = SpiffeId("spiffe://example.org/spire/agent/join_token/n1")
OTHER_NODE = SpiffeId("spiffe://example.org/spire/agent/join_token/n2")


def workload(name: str, domain: str = "example.org") -> SpiffeId:
    return SpiffeId(f"spiffe://{domain}/{name}")


def entry(
    entry_id: str,
    spiffe_id: SpiffeId,
    parent_id: SpiffeId,
    *selectors: str,
    admin: bool = False,
    downstream: bool = False,
) -> Entry:
    return Entry(
        id=entry_id,
        spiffe_id=spiffe_id,
        parent_id=parent_id,
        selectors=tuple(sorted(Selector.parse(text) for text in selectors or ("unix:uid:0",))),
        admin=admin,
        downstream=downstream,
    )


def index_of(*entries: Entry) -> EntryIndex:
    index = EntryIndex()
    for each in entries:
        index.put(each)
    return index


def ids(entries: tuple[Entry, ...]) -> list[str]:
    return [each.id for each in entries]


def test_an_agent_is_authorised_for_the_entries_below_it_and_below_those() -> None:
    index = index_of(
        entry("b", workload("child"), workload("parent")),
        entry("a", workload("parent"), NODE),
        entry("c", workload("elsewhere"), OTHER_NODE),
    )
    assert ids(index.authorized(NODE)) == ["a", "b"]


def test_entries_in_a_circle_are_authorised_once() -> None:
    index = index_of(
        entry("a", workload("x"), NODE),
        entry("b", workload("y"), workload("x")),
        entry("c", workload("x"), workload("y")),
        entry("d", workload("x"), workload("x")),
    )
    assert ids(index.authorized(NODE)) == ["a", "b", "c", "d"]


def test_an_alias_leads_on_only_for_a_node_with_all_of_its_selectors_and_is_not_returned() -> None:
    index = index_of(
        entry("alias", workload("rack"), SERVER, "k8s:rack:1", "k8s:zone:a"),
        entry("a", workload("w"), workload("rack")),
    )
    rack, zone = Selector("k8s", "rack:1"), Selector("k8s", "zone:a")
    assert ids(index.authorized(NODE, (rack, zone, Selector("k8s", "more:1")))) == ["a"]
    assert ids(index.authorized(OTHER_NODE, (rack,))) == []
    assert ids(index.authorized(workload("no-selectors"))) == []


def test_an_entry_of_another_trust_domain_with_the_same_path_makes_nobody_admin_here() -> None:
    index = index_of(
        entry("a", workload("ops"), NODE, admin=True),
        entry("d", workload("nested"), NODE, downstream=True),
    )
    assert index.is_admin(workload("ops"))
    assert index.is_downstream(workload("nested"))
    assert not index.is_admin(workload("ops", "other.org"))
    assert not index.is_downstream(workload("nested", "other.org"))
    assert not index.is_admin(workload("nested"))


def test_admin_ends_with_the_entry_that_gave_it() -> None:
    index = index_of(
        entry("a", workload("ops"), NODE, admin=True), entry("b", workload("ops"), OTHER_NODE)
    )
    index.put(replace(entry("a", workload("ops"), NODE), revision_number=1))
    assert not index.is_admin(workload("ops"))


def test_the_view_of_an_agent_stays_the_same_object_while_others_change() -> None:
    index = index_of(entry("a", workload("w"), NODE))
    view = index.view(NODE)
    index.put(entry("b", workload("v"), OTHER_NODE))
    index.remove("b")
    assert index.view(NODE) is view


def test_a_change_raises_the_version_of_the_views_that_it_concerns_only() -> None:
    index = index_of(entry("a", workload("w"), NODE))
    mine, other = index.view(NODE).version, index.view(OTHER_NODE).version
    index.put(entry("b", workload("v"), NODE))
    assert index.view(NODE).version > mine
    assert index.view(OTHER_NODE).version == other


def test_a_change_that_is_taken_back_before_anyone_looked_is_no_change() -> None:
    index = index_of(entry("a", workload("w"), NODE))
    view = index.view(NODE)
    index.put(entry("b", workload("v"), NODE))
    index.remove("b")
    assert index.view(NODE) is view


def test_other_node_selectors_than_before_give_another_answer() -> None:
    index = index_of(
        entry("alias", workload("rack"), SERVER, "k8s:rack:1"),
        entry("a", workload("w"), workload("rack")),
    )
    assert ids(index.authorized(NODE)) == []
    assert ids(index.authorized(NODE, (Selector("k8s", "rack:1"),))) == ["a"]
    assert ids(index.authorized(NODE, ())) == []


def test_a_view_gives_revisions_and_entries_by_id_in_order() -> None:
    index = index_of(
        replace(entry("b", workload("w"), NODE), revision_number=3, created_at=7),
        replace(entry("a", workload("v"), NODE), created_at=8),
    )
    view = index.view(NODE)
    assert view.revisions == (("a", 0, 8), ("b", 3, 7))
    assert [each.id for each in view.pick(["zz", "b", "a", "b"])] == ["a", "b"]


def test_what_is_derived_from_a_view_is_made_once_for_each_view() -> None:
    index = index_of(entry("a", workload("w"), NODE))
    made = []

    def size(view: object) -> int:
        made.append(view)
        return len(made)

    assert index.view(NODE).derive(size) == index.view(NODE).derive(size) == 1
    index.put(entry("b", workload("v"), NODE))
    assert index.view(NODE).derive(size) == 2


def test_an_agent_that_is_forgotten_is_answered_as_a_new_one() -> None:
    index = index_of(entry("a", workload("w"), NODE, "k8s:rack:1"))
    index.view(NODE, (Selector("k8s", "rack:1"),))
    index.forget_agent(NODE)
    assert index._views == {}
    assert index._views_by_selector == {}
    assert ids(index.authorized(NODE)) == ["a"]


PLACES = [NODE, OTHER_NODE, SERVER, *(workload(name) for name in "abcd")]
SELECTORS = [Selector("k8s", f"label:{number}") for number in range(3)]
AGENTS = {
    NODE: tuple(SELECTORS[:2]),
    OTHER_NODE: tuple(SELECTORS[1:]),
    workload("a"): (),
}


class IndexAgainstTheDefinition(RuleBasedStateMachine):
    """Whatever happens to the entries, each agent's answer is what the definition gives."""

    def __init__(self) -> None:
        super().__init__()
        self.index = EntryIndex()
        self.model: dict[str, Entry] = {}

    @rule(
        entry_id=st.sampled_from("123456"),
        spiffe_id=st.sampled_from(PLACES[3:]),
        parent_id=st.sampled_from(PLACES),
        selectors=st.sets(st.sampled_from(SELECTORS), min_size=1),
        ttl=st.integers(0, 2),
    )
    def put(
        self,
        entry_id: str,
        spiffe_id: SpiffeId,
        parent_id: SpiffeId,
        selectors: set[Selector],
        ttl: int,
    ) -> None:
        new = Entry(
            id=entry_id,
            spiffe_id=spiffe_id,
            parent_id=parent_id,
            selectors=tuple(sorted(selectors)),
            x509_svid_ttl=ttl,
        )
        self.model[entry_id] = new
        self.index.put(new)

    @rule(entry_id=st.sampled_from("123456"))
    def remove(self, entry_id: str) -> None:
        self.model.pop(entry_id, None)
        self.index.remove(entry_id)

    @rule(keep=st.sets(st.sampled_from("123456")))
    def resynchronise(self, keep: set[str]) -> None:
        self.model = {entry_id: e for entry_id, e in self.model.items() if entry_id in keep}
        self.index.replace_all(self.model.values())

    @rule(agent=st.sampled_from(list(AGENTS)))
    def look(self, agent: SpiffeId) -> None:
        assert list(self.index.authorized(agent, AGENTS[agent])) == self.expected(agent)

    @rule(agent=st.sampled_from(list(AGENTS)))
    def forget(self, agent: SpiffeId) -> None:
        self.index.forget_agent(agent)

    @invariant()
    def it_holds_what_was_put(self) -> None:
        assert {e.id: e for e in self.index} == self.model

    def teardown(self) -> None:
        for agent in AGENTS:
            self.look(agent)
        self.index.replace_all([])
        assert not self.index._by_parent._map
        assert not self.index._by_spiffe_id._map
        assert not self.index._aliases._map

    def expected(self, agent: SpiffeId) -> list[Entry]:
        """Compute SPIRE's closure the slow way."""
        roots = {agent}
        for each in self.model.values():
            if each.parent_id == SERVER and set(each.selectors) <= set(AGENTS[agent]):
                roots.add(each.spiffe_id)
        found: dict[str, Entry] = {}
        reached = set(roots)
        while True:
            below = {e.id: e for e in self.model.values() if e.parent_id in reached}
            if below == found:
                return sorted(found.values(), key=lambda e: e.id)
            found = below
            reached |= {e.spiffe_id for e in found.values()}


IndexAgainstTheDefinition.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
test_any_sequence_of_changes_leaves_the_answers_of_the_definition = (
    IndexAgainstTheDefinition.TestCase
)
