"""WIT-SVIDs in the cache: ordered only for who asks, told to whom it concerns, let go after."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from finial.agent.cache.views import Outcome, State, Topic, View, WitTopic
from finial.agent.cache.wit_shelf import LINGER
from finial.agent.cache.workloads import Workloads
from finial.api.workload import workload_pb2 as pb
from finial.spiffe import wit_svid
from finial.spiffe.spiffe_id import SpiffeId
from tests.agent.cache.test_workloads import CA, ROOT, TD, Heard, entry, ids
from tests.fakes.ca import NOW
from tests.fakes.wit import FakeWit

if TYPE_CHECKING:
    from finial.agent.cache.entries import Entry
    from finial.agent.cache.wits import Wits
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.wit_svid import WitSvid

WIT = FakeWit()
ALL = WitTopic()
ENTRIES = tuple(entry(name) for name in "abcde")


def bundle(*wits: FakeWit, tainted: str = "") -> Bundle:
    keys = (replace(one.authority, tainted=one.key_id == tainted) for one in wits)
    return replace(CA.bundle(), wit_authorities=tuple(keys))


def svid(one: Entry, ttl: int = 3600, wit: FakeWit = WIT) -> WitSvid:
    token = wit.token(sub=one.spiffe_id.uri, exp=int(NOW) + ttl)
    return wit_svid.parse_unverified(token)


def only(name: str) -> WitTopic:
    return WitTopic(SpiffeId(f"spiffe://example.org/{name}"))


class Lab:
    """A cache with WIT-SVIDs on, whose server issues them."""

    def __init__(self) -> None:
        self.work = 0
        self.cache = Workloads(TD, with_wits=True)
        self.cache.replace_bundles({TD: bundle(WIT)})
        self.wits.on_work = self._work

    def _work(self) -> None:
        self.work += 1

    @property
    def wits(self) -> Wits:
        assert self.cache.wits is not None
        return self.cache.wits

    def entries(self, *entries: Entry) -> None:
        self.cache.replace_entries({one.id: one for one in entries})

    def issue(self, *entries: Entry, ttl: int = 3600, wit: FakeWit = WIT) -> None:
        self.wits.put(
            [(one, svid(one, ttl, wit), '{"kty":"EC"}', NOW + ttl / 2) for one in entries]
        )

    def listen(self, topic: WitTopic = ALL) -> tuple[View, Heard, Outcome]:
        view, heard = self.cache.view(ROOT), Heard()
        return view, heard, self.wits.listen(view, topic, heard)

    def held(self) -> list[str]:
        return [one.id for one in ENTRIES if self.wits.held(one.id) is not None]

    def due(self, now: float = NOW) -> list[str]:
        return ids(self.wits.due(now))


def state_of(heard: Heard) -> State:
    return heard.last.state


def served(outcome: Outcome) -> list[str]:
    assert outcome.state is State.READY
    response = pb.WITSVIDResponse.FromString(outcome.message)
    return [one.spiffe_id.removeprefix("spiffe://example.org/") for one in response.svids]


@pytest.fixture
def lab() -> Lab:
    made = Lab()
    made.entries(*ENTRIES[:3])
    return made


def test_nothing_is_ordered_that_nobody_asks_for(lab: Lab) -> None:
    assert lab.due() == []
    assert lab.cache.due(NOW) != []  # X.509-SVIDs are
    before = lab.work
    lab.listen()
    assert lab.due() == ["a", "b", "c"]
    assert lab.work == before + 1


def test_one_id_asked_for_is_one_order(lab: Lab) -> None:
    _, heard, outcome = lab.listen(only("b"))
    assert outcome.state is State.WAITING
    assert lab.due() == ["b"]
    lab.issue(ENTRIES[1])
    assert served(heard.last) == ["b"]
    assert lab.due() == []


def test_an_id_that_is_not_the_callers_is_no_identity(lab: Lab) -> None:
    assert lab.listen(only("z"))[2].state is State.NO_IDENTITY
    assert lab.due() == []


def test_the_first_message_is_complete_when_all_are_there(lab: Lab) -> None:
    _, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:2])
    assert not heard.last.complete
    lab.issue(ENTRIES[2])
    assert heard.last.complete
    assert served(heard.last) == ["a", "b", "c"]


def test_a_message_has_token_key_and_hint(lab: Lab) -> None:
    hinted = entry("a", hint="inside")
    lab.entries(hinted)
    _, heard, _ = lab.listen()
    lab.issue(hinted)
    (found,) = pb.WITSVIDResponse.FromString(heard.last.message).svids
    assert (found.wit_svid_key, found.hint) == ('{"kty":"EC"}', "inside")
    assert wit_svid.parse_unverified(found.wit_svid).id == hinted.spiffe_id


def test_a_new_entry_is_ordered_and_told_when_it_is_there(lab: Lab) -> None:
    _, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:3])
    lab.entries(*ENTRIES[:4])
    assert lab.due() == ["d"]
    lab.issue(ENTRIES[3])
    assert served(heard.last) == ["a", "b", "c", "d"]


def test_a_deleted_entry_is_withdrawn_at_once_and_its_key_forgotten(lab: Lab) -> None:
    _, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:3])
    lab.entries(ENTRIES[0])
    assert served(heard.last) == ["a"]
    assert lab.held() == ["a"]
    lab.entries()
    assert state_of(heard) is State.NO_IDENTITY
    assert lab.held() == []


def test_a_changed_entry_keeps_its_svid_until_the_new_one_unless_its_id_differs(lab: Lab) -> None:
    _, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:3])
    lab.entries(replace(ENTRIES[0], revision_number=1), *ENTRIES[1:3])
    assert lab.due() == ["a"]
    assert lab.held() == ["a", "b", "c"]
    moved = replace(ENTRIES[0], revision_number=2, spiffe_id=SpiffeId("spiffe://example.org/x"))
    lab.entries(moved, *ENTRIES[1:3])
    assert served(heard.last) == ["b", "c"]
    lab.issue(ENTRIES[0])  # ordered before the change, and now nobody's
    assert served(heard.last) == ["b", "c"]


def test_it_is_renewed_at_its_time_while_somebody_listens(lab: Lab) -> None:
    lab.entries(ENTRIES[0])
    view, heard, _ = lab.listen()
    lab.issue(ENTRIES[0])
    assert lab.due(NOW + 1799) == []
    assert lab.wits.next_work() == NOW + 1800
    assert lab.due(NOW + 1800) == ["a"]
    lab.wits.unlisten(view, ALL, heard)
    assert lab.due(NOW + 1800) == []


def test_what_nobody_asks_for_any_more_is_let_go_after_a_while(lab: Lab) -> None:
    view, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:3])
    lab.wits.unlisten(view, ALL, heard)
    assert lab.due(NOW) == []
    assert lab.wits.next_work() == NOW + LINGER
    lab.due(NOW + LINGER - 1)
    assert lab.held() == ["a", "b", "c"]
    lab.due(NOW + LINGER)
    assert lab.held() == []
    assert lab.wits.next_work() is None


def test_who_comes_back_soon_is_served_without_an_order(lab: Lab) -> None:
    view, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:3])
    lab.wits.unlisten(view, ALL, heard)
    lab.due(NOW)
    assert served(lab.listen()[2]) == ["a", "b", "c"]
    assert lab.due(NOW + LINGER) == []
    assert lab.held() == ["a", "b", "c"]


def test_a_short_visit_counts_as_use(lab: Lab) -> None:
    view, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:3])
    lab.wits.unlisten(view, ALL, heard)
    lab.due(NOW)
    view, heard, _ = lab.listen()
    lab.wits.unlisten(view, ALL, heard)
    lab.due(NOW + LINGER - 1)
    assert lab.due(NOW + LINGER) == []
    assert lab.held() == ["a", "b", "c"]


def test_only_what_is_still_asked_for_stays(lab: Lab) -> None:
    view, heard, _ = lab.listen()
    lab.listen(only("b"))
    lab.issue(*ENTRIES[:3])
    lab.wits.unlisten(view, ALL, heard)
    lab.due(NOW)
    lab.due(NOW + LINGER)
    assert lab.held() == ["b"]


def test_an_outcome_with_keys_in_it_goes_with_the_last_listener(lab: Lab) -> None:
    view, first, _ = lab.listen()
    _, second, _ = lab.listen()
    lab.issue(*ENTRIES[:3])
    lab.wits.unlisten(view, ALL, first)
    assert ALL in view.outcomes
    lab.wits.unlisten(view, ALL, second)
    assert ALL not in view.outcomes
    assert not view.listened
    lab.wits.unlisten(view, ALL, second)  # a stream may end twice


def test_a_view_that_is_listened_to_is_not_given_up(lab: Lab) -> None:
    view, _, _ = lab.listen()
    assert view.listened


def test_what_expires_is_withdrawn(lab: Lab) -> None:
    lab.entries(ENTRIES[0])
    _, heard, _ = lab.listen()
    lab.issue(ENTRIES[0], ttl=60)
    assert lab.wits.next_expiry() == NOW + 60
    assert lab.wits.expire(NOW + 59) == 0
    assert lab.wits.expire(NOW + 60) == 1
    assert state_of(heard) is State.WAITING
    lab.wits.mark_failed(["a"])
    assert state_of(heard) is State.UNAVAILABLE


def test_each_expires_at_its_own_time_and_the_next_is_known(lab: Lab) -> None:
    lab.listen()
    for one, ttl in zip(ENTRIES[:3], (60, 180, 120), strict=True):
        lab.issue(one, ttl=ttl)
    assert lab.wits.next_expiry() == NOW + 60
    assert (lab.wits.expire(NOW + 60), lab.held()) == (1, ["b", "c"])
    assert lab.wits.next_expiry() == NOW + 120
    lab.issue(ENTRIES[0], ttl=90)
    assert lab.wits.next_expiry() == NOW + 90
    assert (lab.wits.expire(NOW + 180), lab.held()) == (3, [])
    assert lab.wits.next_expiry() is None


def test_an_order_that_failed_keeps_nobody_waiting_and_is_tried_again_for_who_comes_next(
    lab: Lab,
) -> None:
    view, heard, _ = lab.listen()
    lab.issue(*ENTRIES[:2])
    lab.wits.mark_failed(["c", "unknown"])
    assert served(heard.last) == ["a", "b"]
    assert heard.last.complete
    lab.wits.unlisten(view, ALL, heard)
    assert not lab.listen()[2].complete


def test_orders_that_failed_come_last(lab: Lab) -> None:
    lab.listen()
    lab.wits.mark_failed(["a"])
    assert lab.due() == ["b", "c", "a"]


def test_svids_of_a_tainted_authority_are_due(lab: Lab) -> None:
    lab.listen()
    other = FakeWit(key_id="wit-key-2")
    lab.issue(*ENTRIES[:2])
    lab.issue(ENTRIES[2], wit=other)
    lab.cache.replace_bundles({TD: bundle(WIT, other, tainted=WIT.key_id)})
    assert lab.due() == ["a", "b"]
    lab.issue(ENTRIES[0])  # by the same authority still
    assert lab.due() == ["a", "b"]


def test_a_server_whose_bundle_has_no_wit_keys_issues_none() -> None:
    lab = Lab()
    lab.entries(ENTRIES[0])
    _, heard, _ = lab.listen()
    lab.issue(ENTRIES[0])
    lab.cache.replace_bundles({TD: bundle()})
    assert state_of(heard) is State.UNSUPPORTED
    assert (lab.due(), lab.held()) == ([], [])
    view = lab.cache.view(ROOT)
    assert view.outcomes[Topic.WIT_BUNDLES].state is State.UNSUPPORTED
    lab.cache.replace_bundles({TD: bundle(WIT)})
    assert state_of(heard) is State.WAITING
    assert view.outcomes[Topic.WIT_BUNDLES].state is State.READY


def test_a_server_that_refuses_is_believed_until_it_has_other_keys(lab: Lab) -> None:
    _, heard, _ = lab.listen()
    lab.cache.refuse_wits()
    assert state_of(heard) is State.UNSUPPORTED
    assert lab.due() == []
    assert lab.cache.view(ROOT).outcomes[Topic.WIT_BUNDLES].state is State.UNSUPPORTED
    lab.cache.replace_bundles({TD: replace(bundle(WIT), sequence=9)})
    assert state_of(heard) is State.UNSUPPORTED
    lab.cache.replace_bundles({TD: bundle(WIT, FakeWit(key_id="wit-key-2"))})
    assert state_of(heard) is State.WAITING


def test_unsupported_comes_before_no_identity(lab: Lab) -> None:
    lab.entries()
    assert lab.listen()[2].state is State.NO_IDENTITY
    lab.cache.replace_bundles({TD: bundle()})
    assert lab.listen()[2].state is State.UNSUPPORTED


def test_before_the_first_bundle_nobody_can_tell() -> None:
    cache = Workloads(TD, with_wits=True)
    cache.replace_entries({"a": ENTRIES[0]})
    view = cache.view(ROOT)
    assert cache.wits is not None
    assert cache.wits.listen(view, ALL, Heard()).state is State.WAITING
    assert view.outcomes[Topic.WIT_BUNDLES].state is State.WAITING


def test_wit_bundles_are_the_own_and_the_federated_ones(lab: Lab) -> None:
    other = FakeWit("other.org")
    federating = entry("a", federates_with=(other.trust_domain,))
    lab.entries(federating)
    lab.cache.replace_bundles({TD: bundle(WIT), other.trust_domain: other.bundle()})
    outcome = lab.cache.view(ROOT).outcomes[Topic.WIT_BUNDLES]
    found = pb.WITBundlesResponse.FromString(outcome.message).bundles
    assert set(found) == {"spiffe://example.org", "spiffe://other.org"}


def test_switched_off_there_is_nothing_of_it() -> None:
    cache = Workloads(TD)
    cache.replace_bundles({TD: bundle(WIT)})
    assert cache.wits is None
    assert cache.view(ROOT).outcomes[Topic.WIT_BUNDLES].state is State.UNSUPPORTED
    cache.refuse_wits()


def test_the_key_is_not_shown_by_its_repr(lab: Lab) -> None:
    lab.listen()
    lab.issue(ENTRIES[0])
    held = lab.wits.held("a")
    assert held is not None
    assert "kty" not in repr(held)
    assert held.svid.token not in repr(held)
