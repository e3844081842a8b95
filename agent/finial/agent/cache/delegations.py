"""What delegates get on behalf of others: who is a delegate, and what none of them may have.

A delegate names a workload, and gets that workload's documents with their keys. It never gets
those of an identity that has rights at the server (admin, downstream): with them it would be more
than the proxy that it is trusted to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.agent.cache import encoding
from finial.agent.cache.views import (
    NO_DELEGATE,
    NO_IDENTITY,
    UNAVAILABLE,
    WAITING,
    DelegatedTopic,
    Outcome,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable

    from finial.agent.cache.bundles import Bundles
    from finial.agent.cache.entries import Entry
    from finial.agent.cache.svids import SvidShelf
    from finial.agent.cache.views import Listener, View
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.spiffe_id import SpiffeId

_GRANTED = Outcome(State.READY)


class Delegations:
    """The rights and the documents of delegates; a part of Workloads.

    `failed` are the entries whose latest order was not filled. `on_work` is called when a
    listener needs an SVID that nobody has fetched; it must only take note.
    """

    def __init__(
        self,
        bundles: Bundles,
        svids: SvidShelf,
        failed: Container[str],
        delegates: Collection[SpiffeId],
        *,
        on_work: Callable[[], None],
    ) -> None:
        self._on_work = on_work
        self._bundles = bundles
        self._svids = svids
        self._failed = failed
        self._delegates = frozenset(delegates)
        self._privileged: frozenset[SpiffeId] = frozenset()
        self._listened: set[View] = set()
        self._bundle_outcomes: dict[DelegatedTopic, Outcome] = {}

    # --- questions

    def right(self, view: View) -> Outcome:
        """Return whether the callers of a view are delegates: READY, NO_IDENTITY, NO_DELEGATE."""
        if not view.matching:
            return NO_IDENTITY
        if any(entry.spiffe_id in self._delegates for entry in view.matching):
            return _GRANTED
        return NO_DELEGATE

    def entries_of(self, view: View) -> tuple[Entry, ...]:
        """Return what a delegate may have of a view, by entry id.

        An identity has rights at the server by its SPIFFE ID, whichever entry gives them: another
        entry of the same ID gives the very same rights away.
        """
        return tuple(entry for entry in view.matching if entry.spiffe_id not in self._privileged)

    def listened_to(self, view: View) -> tuple[Entry, ...]:
        """Return the entries whose SVIDs a delegate waits for, or wants renewed."""
        if not view.listeners.get(DelegatedTopic.X509_SVIDS):
            return ()
        return self.entries_of(view)

    # --- listening

    def listen(self, view: View, topic: DelegatedTopic, listener: Listener) -> Outcome:
        """Add a listener and return the outcome as it stands; only changes are told later."""
        listeners = view.listeners.setdefault(topic, set())
        listeners.add(listener)
        self._listened.add(view)
        if len(listeners) == 1:
            view.outcomes[topic] = self._outcome(view, topic)
        outcome = view.outcomes[topic]
        if not outcome.complete:
            self._on_work()
        return outcome

    def unlisten(self, view: View, topic: DelegatedTopic, listener: Listener) -> None:
        """Remove a listener; with the last one the outcome goes, which has private keys in it."""
        listeners = view.listeners.get(topic, set())
        listeners.discard(listener)
        if listeners:
            return
        if topic is DelegatedTopic.X509_SVIDS:
            self._svids.touch(entry.id for entry in self.entries_of(view))
        view.listeners.pop(topic, None)
        view.outcomes.pop(topic, None)
        if not view.delegated_topics:
            self._listened.discard(view)

    # --- changes

    def entries_replaced(self, entries: Iterable[Entry]) -> None:
        """Take note of new entries; views with other entries are published afterwards, too."""
        privileged = frozenset(entry.spiffe_id for entry in entries if entry.privileged)
        if privileged == self._privileged:
            return
        self._privileged = privileged
        for view in tuple(self._listened):
            self.publish(view)

    def bundles_replaced(self) -> None:
        """Take note of new bundles; all views are published afterwards, by the caller."""
        self._bundle_outcomes.clear()

    def publish(self, view: View) -> None:
        """Bring what delegates listen to of a view up to date."""
        for topic in view.delegated_topics:
            view.publish(topic, self._outcome(view, topic))

    # --- outcomes

    def _outcome(self, view: View, topic: DelegatedTopic) -> Outcome:
        match topic:
            case DelegatedTopic.RIGHT:
                return self.right(view)
            case DelegatedTopic.X509_SVIDS:
                return self._svids_outcome(self.entries_of(view))
            case DelegatedTopic.X509_BUNDLES:
                return self._bundles_outcome(topic, encoding.delegated_x509_bundles)
            case DelegatedTopic.JWT_BUNDLES:
                return self._bundles_outcome(topic, encoding.delegated_jwt_bundles)

    def _svids_outcome(self, entries: tuple[Entry, ...]) -> Outcome:
        held = [(entry, self._svids.get(entry.id)) for entry in entries]
        coming = any(one is None and entry.id not in self._failed for entry, one in held)
        ready = [
            encoding.delegated_svid_part(one.svid, entry.hint)
            for entry, one in held
            if one is not None
        ]
        if entries and not ready:
            return WAITING if coming else UNAVAILABLE
        names = {name for entry in entries for name in entry.federates_with}
        federated = [encoded.bundle for encoded in self._bundles.federated(names)]
        ready.append(encoding.delegated_federation(federated))
        return Outcome(State.READY, b"".join(ready), complete=not coming)

    def _bundles_outcome(
        self, topic: DelegatedTopic, encode: Callable[[Iterable[Bundle]], bytes]
    ) -> Outcome:
        if self._bundles.own is None:
            return WAITING
        outcome = self._bundle_outcomes.get(topic)
        if outcome is None:
            outcome = Outcome(State.READY, encode(each.bundle for each in self._bundles.all()))
            self._bundle_outcomes[topic] = outcome
        return outcome
