"""What a change does to which delegate. No loop and no server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from finial.agent.cache.entries import Entry
from finial.agent.cache.views import DelegatedTopic, Outcome, State
from finial.agent.cache.workloads import Workloads
from finial.api.spire.agent import delegatedidentity_pb2 as pb
from finial.attestors.selector import Selector
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import NOW, FakeCa

CA = FakeCa()
TD = CA.trust_domain
PROXY = SpiffeId("spiffe://example.org/proxy")
MINE = (Selector("unix", "uid:0"),)
WEB = (Selector("unix", "uid:1"),)


def entry(entry_id: str, *selectors: Selector) -> Entry:
    return Entry(entry_id, SpiffeId(f"spiffe://example.org/{entry_id}"), frozenset(selectors))


@dataclass(eq=False)
class Heard:
    """A listener that writes down what it hears."""

    outcomes: list[Outcome] = field(default_factory=list)

    def changed(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Lab:
    def __init__(self, x509_limit: int = 1000) -> None:
        self.work = 0
        self.cache = Workloads(TD, delegates=(PROXY,), on_work=self._work, x509_limit=x509_limit)
        self.delegations = self.cache.delegations
        self.cache.replace_bundles({TD: CA.bundle()})

    def _work(self) -> None:
        self.work += 1

    def entries(self, *entries: Entry) -> None:
        self.cache.replace_entries({one.id: one for one in entries})

    def issue(self, *entries: Entry) -> None:
        filled = [(one, CA.issue(one.spiffe_id), NOW + 1800) for one in entries]
        self.cache.put_svids(filled)

    def listen(
        self, selectors: tuple[Selector, ...], topic: DelegatedTopic
    ) -> tuple[Heard, Outcome]:
        heard = Heard()
        outcome = self.delegations.listen(self.cache.view(selectors), topic, heard)
        return heard, outcome


def shown(outcome: Outcome) -> list[str]:
    assert outcome.state is State.READY
    response = pb.SubscribeToX509SVIDsResponse.FromString(outcome.message)
    return [each.x509_svid.id.path.removeprefix("/") for each in response.x509_svids]


def test_the_right_is_that_of_any_identity_of_the_caller() -> None:
    lab = Lab()
    heard, outcome = lab.listen(MINE, DelegatedTopic.RIGHT)
    assert outcome.state is State.NO_IDENTITY
    lab.entries(entry("other", *MINE))
    lab.entries(entry("other", *MINE), entry("proxy", *MINE))
    lab.entries(entry("proxy", *WEB))
    states = [outcome.state for outcome in heard.outcomes]
    assert states == [State.NO_DELEGATE, State.READY, State.NO_IDENTITY]


def test_a_workload_without_entries_has_an_empty_state() -> None:
    lab = Lab()
    _, outcome = lab.listen(WEB, DelegatedTopic.X509_SVIDS)
    assert (shown(outcome), outcome.complete, lab.work) == ([], True, 0)


def test_an_svid_that_is_missing_is_asked_for_and_waited_for() -> None:
    lab = Lab()
    a, b = entry("a", *WEB), entry("b", *WEB)
    lab.entries(a, b)
    heard, outcome = lab.listen(WEB, DelegatedTopic.X509_SVIDS)
    assert (outcome.state, lab.work) == (State.WAITING, 1)
    lab.issue(a)
    assert not heard.outcomes[-1].complete
    lab.issue(b)
    assert shown(heard.outcomes[-1]) == ["a", "b"]
    assert heard.outcomes[-1].complete


def test_what_cannot_be_had_is_unavailable_and_what_expired_withdrawn() -> None:
    lab = Lab()
    a = entry("a", *WEB)
    lab.entries(a)
    heard, _ = lab.listen(WEB, DelegatedTopic.X509_SVIDS)
    lab.cache.mark_failed(["a"])
    lab.issue(a)
    lab.cache.expire(NOW + 90000)
    states = [outcome.state for outcome in heard.outcomes]
    assert states == [State.UNAVAILABLE, State.READY, State.WAITING]


def test_an_entry_with_rights_is_neither_shown_nor_ordered_for_a_delegate() -> None:
    lab = Lab(x509_limit=1)
    a, b = entry("a", *WEB), replace(entry("b", *WEB), admin=True)
    lab.entries(a, b)
    lab.listen(WEB, DelegatedTopic.X509_SVIDS)
    assert [each.id for each in lab.cache.due(NOW)] == ["a"]
    lab.issue(a, b)
    assert shown(lab.listen(WEB, DelegatedTopic.X509_SVIDS)[1]) == ["a"]


def test_a_right_given_elsewhere_reaches_the_views_that_show_its_id() -> None:
    lab = Lab()
    a = entry("a", *WEB)
    lab.entries(a)
    lab.issue(a)
    heard, _ = lab.listen(WEB, DelegatedTopic.X509_SVIDS)
    lab.entries(a, replace(entry("b", *MINE), spiffe_id=a.spiffe_id, downstream=True))
    assert shown(heard.outcomes[-1]) == []
    lab.entries(a)
    assert shown(heard.outcomes[-1]) == ["a"]


def test_nothing_is_kept_for_those_who_have_gone() -> None:
    lab = Lab()
    a = entry("a", *WEB)
    lab.entries(a)
    lab.issue(a)
    heard, _ = lab.listen(WEB, DelegatedTopic.X509_SVIDS)
    view = lab.cache.view(WEB)
    assert view.listened
    lab.delegations.unlisten(view, DelegatedTopic.X509_SVIDS, heard)
    assert not view.listened
    assert DelegatedTopic.X509_SVIDS not in view.outcomes
    lab.entries()
    assert heard.outcomes == []


def test_bundles_are_told_when_they_change_and_only_then() -> None:
    lab = Lab()
    lab.entries(entry("proxy", *MINE))
    heard, outcome = lab.listen(MINE, DelegatedTopic.X509_BUNDLES)
    first = pb.SubscribeToX509BundlesResponse.FromString(outcome.message)
    assert dict(first.ca_certificates) == {"spiffe://example.org": CA.der}
    lab.entries(entry("proxy", *MINE), entry("a", *WEB))
    assert heard.outcomes == []
    other = FakeCa("other.org")
    lab.cache.replace_bundles({TD: CA.bundle(), other.trust_domain: other.bundle()})
    [changed] = heard.outcomes
    told = pb.SubscribeToX509BundlesResponse.FromString(changed.message)
    assert set(told.ca_certificates) == {"spiffe://example.org", "spiffe://other.org"}


def test_before_the_first_bundle_there_is_nothing_to_tell() -> None:
    cache = Workloads(TD, delegates=(PROXY,))
    view = cache.view(MINE)
    heard = Heard()
    outcome = cache.delegations.listen(view, DelegatedTopic.JWT_BUNDLES, heard)
    assert outcome.state is State.WAITING
    cache.replace_bundles({TD: CA.bundle()})
    assert heard.outcomes[-1].state is State.READY
