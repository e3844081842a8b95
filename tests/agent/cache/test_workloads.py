"""What a change does to whom. No loop and no server: the cache is driven by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from finial.agent.cache.entries import Entry
from finial.agent.cache.views import Outcome, State, Topic, View
from finial.agent.cache.workloads import Workloads
from finial.api.workload import workload_pb2 as pb
from finial.attestors.selector import Selector
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import NOW, FakeCa

if TYPE_CHECKING:
    from collections.abc import Iterable

CA = FakeCa()
OTHER = FakeCa("other.org")
TD = CA.trust_domain
ROOT = (Selector("unix", "uid:0"), Selector("unix", "gid:0"))


def entry(entry_id: str, *selectors: str, **fields: object) -> Entry:
    defaults: dict[str, object] = {"created_at": 1}
    return Entry(
        id=entry_id,
        spiffe_id=SpiffeId(f"spiffe://example.org/{entry_id}"),
        selectors=frozenset(Selector.parse(text) for text in selectors or ("unix:uid:0",)),
        **(defaults | fields),  # type: ignore[arg-type]
    )


@dataclass(eq=False)
class Heard:
    """A listener that writes down what it hears."""

    outcomes: list[Outcome] = field(default_factory=list)

    def changed(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def last(self) -> Outcome:
        return self.outcomes[-1]


class Lab:
    def __init__(self, **settings: object) -> None:
        self.work = 0
        self.cache = Workloads(TD, on_work=self._work, **settings)  # type: ignore[arg-type]
        self.cache.replace_bundles({TD: CA.bundle()})

    def _work(self) -> None:
        self.work += 1

    def entries(self, *entries: Entry) -> None:
        self.cache.replace_entries({one.id: one for one in entries})

    def issue(self, *entries: Entry, ttl: float = 3600, ca: FakeCa = CA) -> None:
        self.cache.put_svids(
            [(one, ca.issue(one.spiffe_id, ttl=ttl), NOW + ttl / 2) for one in entries]
        )

    def listen(
        self, selectors: tuple[Selector, ...] = ROOT, topic: Topic = Topic.X509_SVID
    ) -> tuple[View, Heard, Outcome]:
        view = self.cache.view(selectors)
        heard = Heard()
        return view, heard, self.cache.listen(view, topic, heard)


def served(outcome: Outcome) -> list[str]:
    assert outcome.state is State.READY
    response = pb.X509SVIDResponse.FromString(outcome.message)
    return [svid.spiffe_id.removeprefix("spiffe://example.org/") for svid in response.svids]


def ids(entries: Iterable[Entry]) -> list[str]:
    return [one.id for one in entries]


def test_a_caller_without_entries_has_no_identity() -> None:
    lab = Lab()
    lab.entries(entry("a", "unix:uid:5"))
    _, _, outcome = lab.listen()
    assert outcome.state is State.NO_IDENTITY


def test_an_entitled_caller_waits_for_its_svid_and_asks_for_it() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    _, heard, outcome = lab.listen()
    assert outcome.state is State.WAITING
    assert lab.work == 1
    lab.issue(a)
    assert served(heard.last) == ["a"]


def test_the_message_holds_every_svid_in_the_order_of_entry_ids() -> None:
    lab = Lab()
    entries = [entry("c"), entry("a", "unix:gid:0"), entry("b", "unix:uid:0", "unix:gid:0")]
    lab.entries(*entries)
    lab.issue(*entries)
    _, _, outcome = lab.listen()
    assert served(outcome) == ["a", "b", "c"]
    assert outcome.complete


def test_store_svid_entries_are_never_served() -> None:
    lab = Lab()
    lab.entries(entry("a", store_svid=True))
    _, _, outcome = lab.listen()
    assert outcome.state is State.NO_IDENTITY
    assert lab.cache.due(NOW) == []


def test_a_message_that_lacks_svids_still_to_come_says_so() -> None:
    lab = Lab()
    a, b = entry("a"), entry("b")
    lab.entries(a, b)
    lab.issue(a)
    _, heard, outcome = lab.listen()
    assert served(outcome) == ["a"]
    assert not outcome.complete
    lab.issue(b)
    assert served(heard.last) == ["a", "b"]
    assert heard.last.complete


def test_nobody_waits_for_an_svid_that_could_not_be_had() -> None:
    lab = Lab()
    a, b = entry("a"), entry("b")
    lab.entries(a, b)
    lab.issue(a)
    _, heard, _ = lab.listen()
    lab.cache.mark_failed(["b"])
    assert served(heard.last) == ["a"]
    assert heard.last.complete


def test_when_nothing_could_be_had_the_caller_is_told_to_come_again() -> None:
    lab = Lab()
    lab.entries(entry("a"))
    _, heard, _ = lab.listen()
    lab.cache.mark_failed(["a"])
    assert heard.last.state is State.UNAVAILABLE


def test_a_new_entry_is_pushed_to_those_it_concerns_and_to_nobody_else() -> None:
    lab = Lab()
    a, b = entry("a"), entry("b", "unix:uid:7")
    lab.entries(a)
    lab.issue(a)
    _, concerned, _ = lab.listen()
    _, unconcerned, _ = lab.listen((Selector("unix", "uid:8"),))
    c = entry("c")
    lab.entries(a, b, c)
    lab.issue(b, c)
    assert served(concerned.last) == ["a", "c"]
    assert unconcerned.outcomes == []


def test_a_removed_entry_is_withdrawn_and_the_last_one_ends_the_identity() -> None:
    lab = Lab()
    a, b = entry("a"), entry("b")
    lab.entries(a, b)
    lab.issue(a, b)
    _, heard, _ = lab.listen()
    lab.entries(a)
    assert served(heard.last) == ["a"]
    lab.entries()
    assert heard.last.state is State.NO_IDENTITY
    assert lab.cache.svid_count() == 0


def test_a_changed_entry_keeps_its_svid_until_the_new_one_is_there() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    lab.issue(a)
    _, heard, before = lab.listen()
    newer = replace(a, revision_number=1)
    lab.entries(newer)
    assert ids(lab.cache.due(NOW)) == ["a"]
    assert heard.outcomes == []
    lab.issue(newer)
    assert lab.cache.due(NOW) == []
    assert heard.last.message != before.message


def test_an_entry_with_another_spiffe_id_loses_its_svid_at_once() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    lab.issue(a)
    _, heard, _ = lab.listen()
    other = replace(a, spiffe_id=SpiffeId("spiffe://example.org/z"), revision_number=1)
    lab.entries(other)
    assert heard.last.state is State.WAITING
    lab.issue(a)  # ordered before the change, arrives after it
    assert heard.last.state is State.WAITING
    lab.issue(other)
    assert served(heard.last) == ["z"]


def test_an_entry_made_anew_under_the_same_id_is_stale() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    lab.issue(a)
    lab.entries(replace(a, created_at=2))
    assert ids(lab.cache.due(NOW)) == ["a"]


def test_changed_selectors_move_an_entry_to_other_callers() -> None:
    lab = Lab()
    a = entry("a", "unix:uid:0")
    lab.entries(a)
    lab.issue(a)
    _, lost, _ = lab.listen()
    _, won, outcome = lab.listen((Selector("unix", "uid:9"),))
    assert outcome.state is State.NO_IDENTITY
    lab.entries(replace(a, selectors=frozenset({Selector("unix", "uid:9")}), revision_number=1))
    assert lost.last.state is State.NO_IDENTITY
    assert served(won.last) == ["a"]


def test_a_changed_hint_is_pushed_without_a_new_svid() -> None:
    lab = Lab()
    a = entry("a", hint="old")
    lab.entries(a)
    lab.issue(a)
    _, heard, _ = lab.listen()
    lab.entries(replace(a, hint="new"))
    response = pb.X509SVIDResponse.FromString(heard.last.message)
    assert [svid.hint for svid in response.svids] == ["new"]


def test_an_svid_is_withdrawn_at_its_not_after_and_not_before() -> None:
    lab = Lab()
    a, b = entry("a"), entry("b")
    lab.entries(a, b)
    lab.issue(a, ttl=60)
    lab.issue(b, ttl=120)
    _, heard, _ = lab.listen()
    assert lab.cache.next_expiry() == NOW + 60
    assert lab.cache.expire(NOW + 59.9) == 0
    assert lab.cache.expire(NOW + 60) == 1
    assert served(heard.last) == ["b"]
    lab.cache.mark_failed(["a", "b"])
    assert lab.cache.expire(NOW + 120) == 1
    assert heard.last.state is State.UNAVAILABLE
    assert lab.cache.next_expiry() is None


def test_due_is_what_is_missing_stale_or_past_its_time() -> None:
    lab = Lab()
    a, b = entry("a"), entry("b")
    lab.entries(a, b)
    assert ids(lab.cache.due(NOW)) == ["a", "b"]
    lab.issue(a, ttl=100)
    lab.issue(b, ttl=200)
    assert lab.cache.due(NOW) == []
    assert lab.cache.next_rotation() == NOW + 50
    assert ids(lab.cache.due(NOW + 50)) == ["a"]
    assert ids(lab.cache.due(NOW + 100)) == ["a", "b"]


def test_a_bundle_change_reaches_every_stream() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    lab.issue(a)
    _, x509, _ = lab.listen()
    _, bundles, _ = lab.listen(topic=Topic.X509_BUNDLES)
    _, jwt, _ = lab.listen(topic=Topic.JWT_BUNDLES)
    lab.cache.replace_bundles({TD: CA.bundle(FakeCa())})
    assert len(x509.outcomes) == len(bundles.outcomes) == len(jwt.outcomes) == 1


def test_an_equal_bundle_is_no_news() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    lab.issue(a)
    listeners = [lab.listen(topic=topic)[1] for topic in Topic]
    assert not lab.cache.replace_bundles({TD: CA.bundle()})
    assert not any(heard.outcomes for heard in listeners)


def test_a_tainted_authority_makes_its_svids_due_and_no_others() -> None:
    new = FakeCa()
    lab = Lab()
    a, b = entry("a"), entry("b")
    lab.entries(a, b)
    lab.cache.replace_bundles({TD: CA.bundle(new)})
    lab.issue(a)
    lab.issue(b, ca=new)
    assert lab.cache.due(NOW) == []
    tainted = CA.bundle(tainted=True)
    both = replace(
        tainted, x509_authorities=(*tainted.x509_authorities, *new.bundle().x509_authorities)
    )
    lab.cache.replace_bundles({TD: both})
    assert ids(lab.cache.due(NOW)) == ["a"]
    lab.issue(a, ca=CA)  # by the tainted authority again
    assert ids(lab.cache.due(NOW)) == ["a"]
    lab.issue(a, ca=new)
    assert lab.cache.due(NOW) == []


def test_federated_bundles_are_shown_to_those_whose_entries_federate() -> None:
    lab = Lab()
    a = entry("a", federates_with=(OTHER.trust_domain, TrustDomain("unknown.org")))
    b = entry("b", "unix:uid:9")
    lab.entries(a, b)
    lab.cache.replace_bundles({TD: CA.bundle(), OTHER.trust_domain: OTHER.bundle()})
    lab.issue(a, b)
    _, heard, outcome = lab.listen()
    response = pb.X509SVIDResponse.FromString(outcome.message)
    assert dict(response.federated_bundles) == {"spiffe://other.org": OTHER.bundle().x509_der()}
    _, _, foreign = lab.listen((Selector("unix", "uid:9"),))
    assert not pb.X509SVIDResponse.FromString(foreign.message).federated_bundles
    lab.cache.replace_bundles({TD: CA.bundle()})
    response = pb.X509SVIDResponse.FromString(heard.last.message)
    assert not response.federated_bundles


def test_bundle_streams_hold_the_own_and_the_federated_domains() -> None:
    lab = Lab()
    lab.entries(entry("a", federates_with=(OTHER.trust_domain,)))
    lab.cache.replace_bundles({TD: CA.bundle(), OTHER.trust_domain: OTHER.bundle()})
    _, _, x509 = lab.listen(topic=Topic.X509_BUNDLES)
    _, _, jwt = lab.listen(topic=Topic.JWT_BUNDLES)
    assert dict(pb.X509BundlesResponse.FromString(x509.message).bundles) == {
        "spiffe://example.org": CA.bundle().x509_der(),
        "spiffe://other.org": OTHER.bundle().x509_der(),
    }
    assert set(pb.JWTBundlesResponse.FromString(jwt.message).bundles) == {
        "spiffe://example.org",
        "spiffe://other.org",
    }


@pytest.mark.parametrize("topic", [Topic.X509_BUNDLES, Topic.JWT_BUNDLES])
def test_a_caller_without_identity_has_bundles_only_where_that_is_allowed(topic: Topic) -> None:
    assert Lab().listen(topic=topic)[2].state is State.NO_IDENTITY
    open_to_all = Lab(bundles_for_all=True)
    _, heard, outcome = open_to_all.listen(topic=topic)
    assert outcome.state is State.READY
    open_to_all.cache.replace_bundles({TD: CA.bundle(FakeCa(key_id="k2"))})
    assert len(heard.outcomes) == 1
    assert open_to_all.listen()[2].state is State.NO_IDENTITY


def test_callers_with_the_same_identities_share_the_bytes() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    lab.issue(a)
    _, _, one = lab.listen((Selector("unix", "uid:0"), Selector("unix", "gid:1")))
    _, _, two = lab.listen((Selector("unix", "uid:0"), Selector("unix", "gid:2")))
    assert one.message is two.message


def test_the_same_tuple_finds_its_view_again_and_an_equal_one_too() -> None:
    lab = Lab()
    view = lab.cache.view(ROOT)
    assert lab.cache.view(ROOT) is view
    assert lab.cache.view(tuple(reversed(ROOT))) is view


def test_a_view_nobody_listens_to_may_go_and_comes_back_current() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    lab.issue(a)
    first = lab.cache.view(ROOT)
    for number in range(2000):
        lab.cache.view((Selector("unix", f"uid:{number + 5}"),))
    assert len(lab.cache._views) <= 1024
    lab.entries()
    again = lab.cache.view(ROOT)
    assert again is not first
    assert again.outcomes[Topic.X509_SVID].state is State.NO_IDENTITY


def test_views_with_listeners_stay_however_many_others_come() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    view, heard, _ = lab.listen()
    for number in range(2000):
        lab.cache.view((Selector("unix", f"uid:{number + 5}"),))
    assert lab.cache.view(ROOT) is view
    lab.issue(a)
    assert served(heard.last) == ["a"]


def test_after_unlistening_nothing_is_heard() -> None:
    lab = Lab()
    a = entry("a")
    lab.entries(a)
    view, heard, _ = lab.listen()
    lab.cache.unlisten(view, Topic.X509_SVID, heard)
    lab.issue(a)
    assert heard.outcomes == []


def test_prefetching_stops_at_the_limit_and_listening_goes_beyond() -> None:
    lab = Lab(x509_limit=2)
    entries = [entry(f"e{number}", f"unix:uid:{number}") for number in range(5)]
    lab.entries(*entries)
    assert ids(lab.cache.due(NOW)) == ["e0", "e1"]
    lab.issue(*entries[:2])
    _, _, outcome = lab.listen((Selector("unix", "uid:4"),))
    assert outcome.state is State.WAITING
    assert ids(lab.cache.due(NOW)) == ["e4"]
    lab.issue(entries[4])
    assert lab.cache.due(NOW) == []
    assert lab.cache.svid_count() == 2


def test_beyond_the_limit_the_least_recently_used_goes() -> None:
    lab = Lab(x509_limit=2)
    entries = [entry(f"e{number}", f"unix:uid:{number}") for number in range(3)]
    lab.entries(*entries)
    lab.issue(*entries[:2])
    used, heard, _ = lab.listen((Selector("unix", "uid:0"),))
    lab.cache.unlisten(used, Topic.X509_SVID, heard)
    lab.listen((Selector("unix", "uid:2"),))
    lab.issue(entries[2])
    lab.cache.due(NOW)
    assert lab.cache.held("e0") is not None
    assert lab.cache.held("e1") is None


def test_an_entry_without_prefetch_is_ordered_when_a_caller_comes() -> None:
    lab = Lab()
    a = entry("a", prefetch_x509=False)
    lab.entries(a)
    assert lab.cache.due(NOW) == []
    view, heard, outcome = lab.listen()
    assert outcome.state is State.WAITING
    assert ids(lab.cache.due(NOW)) == ["a"]
    lab.issue(a)
    assert served(heard.last) == ["a"]
    assert view.outcomes[Topic.X509_SVID].complete


def test_thousands_of_entries_do_not_slow_down_a_call() -> None:
    lab = Lab()
    lab.entries(*(entry(f"e{number}", f"unix:path:/{number}") for number in range(5000)))
    view = lab.cache.view((Selector("unix", "uid:0"), Selector("unix", "path:/77")))
    assert ids(view.entries) == ["e77"]


def test_a_hint_rule_loser_returns_when_the_winner_goes() -> None:
    lab = Lab()
    winner = entry("b", hint="db", created_at=1)
    loser = entry("a", hint="db", created_at=2)
    lab.entries(winner, loser)
    lab.issue(winner, loser)
    _, heard, outcome = lab.listen()
    assert served(outcome) == ["b"]
    lab.entries(loser)
    assert served(heard.last) == ["a"]
