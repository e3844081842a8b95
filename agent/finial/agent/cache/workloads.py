"""All that workloads may see, and the rules by which a change reaches them.

Every method that changes something ends with the views concerned brought up to date and their
listeners told; between calls the cache is always consistent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from finial.agent.cache import encoding
from finial.agent.cache.bundles import Bundles, key_ids, tainted_key_ids
from finial.agent.cache.delegations import Delegations
from finial.agent.cache.matching import SubsetIndex
from finial.agent.cache.svids import HeldSvid, SvidShelf
from finial.agent.cache.viewing import ViewTable
from finial.agent.cache.views import (
    NO_IDENTITY,
    UNAVAILABLE,
    UNSUPPORTED,
    WAITING,
    Listener,
    Outcome,
    State,
    Topic,
    View,
)
from finial.agent.cache.wits import Wits
from finial.spiffe import certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from finial.agent.cache.entries import Entry
    from finial.attestors.selector import Selector
    from finial.spiffe.bundle import Bundle
    from finial.spiffe.spiffe_id import SpiffeId
    from finial.spiffe.trust_domain import TrustDomain
    from finial.spiffe.x509_svid import X509Svid

DEFAULT_X509_LIMIT = 1000
_MAX_REMEMBERED_TUPLES = 2048


class Workloads:
    """Entries, X.509-SVIDs, bundles and views of one agent.

    `on_work` is called when a listener needs an SVID that nobody has fetched; it must only take
    note. `x509_limit` is soft: SVIDs that are listened to are held beyond it. With
    `bundles_for_all` a caller without an identity may have the own trust domain's bundles. `wits`
    are the WIT-SVIDs, None when they are switched off. `delegations` are what callers with one of
    the IDs `delegates` may have on behalf of others.
    """

    def __init__(
        self,
        trust_domain: TrustDomain,
        *,
        x509_limit: int = DEFAULT_X509_LIMIT,
        bundles_for_all: bool = False,
        with_wits: bool = False,
        delegates: Collection[SpiffeId] = (),
        on_work: Callable[[], None] = lambda: None,
    ) -> None:
        self.trust_domain = trust_domain
        self.bundles = Bundles(trust_domain)
        self.entries: Mapping[str, Entry] = {}
        self.synced = False  # whether entries and bundles have been received at all
        self.on_work = on_work
        self.wits = Wits(self.bundles) if with_wits else None
        self._x509_limit = x509_limit
        self._bundles_for_all = bundles_for_all
        self._svids = SvidShelf()
        self._authorities: frozenset[bytes] = frozenset()  # of the own bundle, by key identifier
        self._failed: set[str] = set()  # entries whose latest order was not filled
        self.delegations = Delegations(
            self.bundles, self._svids, self._failed, delegates, on_work=self._wanted
        )
        self._index: SubsetIndex[str] = SubsetIndex()
        self._views = ViewTable()
        self._by_tuple: dict[int, tuple[tuple[Selector, ...], View]] = {}
        self._parts: dict[str, bytes] = {}
        self._shared: WeakValueDictionary[tuple[str, ...], Outcome] = WeakValueDictionary()

    def _wanted(self) -> None:
        self.on_work()  # as it is by then

    # --- questions

    def view(self, selectors: tuple[Selector, ...]) -> View:
        """Return the view of callers with these selectors; the hot path of every call.

        The very same tuple object, as attestors return it for equal callers, is found by its
        address; another one by its content.
        """
        known = self._by_tuple.get(id(selectors))
        if known is not None and known[0] is selectors:
            return known[1]
        view = self._view(frozenset(selectors))
        if len(self._by_tuple) >= _MAX_REMEMBERED_TUPLES:
            self._by_tuple.clear()
        self._by_tuple[id(selectors)] = (selectors, view)
        return view

    def _view(self, selectors: frozenset[Selector]) -> View:
        view = self._views.get(selectors)
        if view is None:
            # A view that goes must not be found by an old tuple any more: changes pass it by.
            self._by_tuple.clear()
            view = View(selectors)
            self._views.add(view)
            self._rematch(view)
        return view

    def svid_count(self) -> int:
        """Return how many X.509-SVIDs are held."""
        return len(self._svids)

    def held(self, entry_id: str) -> HeldSvid | None:
        return self._svids.get(entry_id)

    def next_rotation(self) -> float | None:
        """Return the Unix time at which the next SVID becomes due."""
        return self._svids.next_rotation()

    def next_expiry(self) -> float | None:
        """Return the Unix time at which `expire` has something to do."""
        return self._svids.next_expiry()

    def last_expiry(self) -> float | None:
        """Return the Unix time from which nothing is left to serve, unless renewed."""
        return self._svids.last_expiry()

    def due(self, now: float) -> list[Entry]:
        """Return the entries that need a new SVID, those with listeners first.

        Drops, on the way, the least recently used SVIDs beyond the limit that nobody listens to.
        """
        listened = {entry.id: entry for view in self._views for entry in self._listened_to(view)}
        wanted = [*listened.values(), *self._prefetched(listened.keys())]
        return [entry for entry in wanted if self._is_due(entry, now)]

    def _listened_to(self, view: View) -> Iterable[Entry]:
        if view.listeners[Topic.X509_SVID]:
            yield from view.entries
        yield from self.delegations.listened_to(view)

    def _prefetched(self, listened: Iterable[str]) -> list[Entry]:
        pinned = set(listened)
        room = max(self._x509_limit - len(pinned), 0)
        held = [entry_id for entry_id in self._svids if entry_id not in pinned]
        excess = held[: max(len(held) - room, 0)]
        self._release(excess)
        kept = held[len(excess) :]
        room -= len(kept)
        skipped = pinned | set(kept) | set(excess)
        more: list[Entry] = []
        for entry in self.entries.values():
            if len(more) >= room:
                break
            if entry.prefetch_x509 and not entry.store_svid and entry.id not in skipped:
                more.append(entry)
        return [self.entries[entry_id] for entry_id in kept] + more

    def _release(self, entry_ids: Sequence[str]) -> None:
        for entry_id in entry_ids:
            self._svids.drop(entry_id)
        self._refresh_x509(entry_ids)

    def _is_due(self, entry: Entry, now: float) -> bool:
        held = self._svids.get(entry.id)
        return held is None or held.due(entry.stamp, now)

    def can_wait(self, entry: Entry, now: float) -> bool:
        """Whether an entry is due for nothing but the authority of its SVID."""
        held = self._svids.get(entry.id)
        return held is not None and not held.due_by_itself(entry.stamp, now)

    # --- listening

    def listen(self, view: View, topic: Topic, listener: Listener) -> Outcome:
        """Add a listener and return the outcome as it stands; only changes are told later."""
        view.listeners[topic].add(listener)
        outcome = view.outcomes[topic]
        if topic is Topic.X509_SVID and not outcome.complete:
            self.on_work()
        return outcome

    def unlisten(self, view: View, topic: Topic, listener: Listener) -> None:
        view.listeners[topic].discard(listener)
        if topic is Topic.X509_SVID and len(self.entries) > self._x509_limit:
            self._svids.touch(entry.id for entry in view.entries)

    # --- changes

    def replace_entries(self, entries: Mapping[str, Entry]) -> int:
        """Hold exactly these entries from now on; return how many were added, changed or removed.

        A changed entry keeps its SVID until the new one is there, unless its SPIFFE ID differs.
        """
        concerned: set[View] = set()
        touched = []
        for entry_id, old in self.entries.items():
            new = entries.get(entry_id)
            if new == old:
                continue
            touched.append(entry_id)
            concerned.update(self._unregister(old))
            if new is None or new.spiffe_id != old.spiffe_id or new.store_svid:
                self._svids.drop(entry_id)
        for entry_id, new in entries.items():
            old_entry = self.entries.get(entry_id)
            if new == old_entry:
                continue
            if old_entry is None:
                touched.append(entry_id)
            concerned.update(self._register(new))
        self.entries = dict(entries)
        self._failed.difference_update(touched)
        self._forget(touched)
        if self.wits is not None and touched:
            self.wits.entries_replaced(self.entries, touched)
        if touched:
            self.delegations.entries_replaced(self.entries.values())
        for view in concerned:
            self._rematch(view)
        return len(touched)

    def _register(self, entry: Entry) -> list[View]:
        if entry.store_svid:
            return []
        self._index.add(entry.selectors, entry.id)
        return self._views.entitled(entry.selectors)

    def _unregister(self, entry: Entry) -> list[View]:
        self._index.discard(entry.selectors, entry.id)
        return self._views.entitled(entry.selectors)

    def replace_bundles(self, bundles: Mapping[TrustDomain, Bundle]) -> bool:
        """Hold exactly these bundles from now on; return whether anything differs.

        SVIDs that chain to an authority which is tainted now, or has gone, become due.
        """
        if not self.bundles.replace(bundles):
            return False
        own = self.bundles.own
        if own is not None:
            authorities = key_ids(own.bundle)
            self._svids.distrust(tainted_key_ids(own.bundle), self._authorities - authorities)
            self._authorities = authorities
        self._parts.clear()
        self._shared.clear()
        if self.wits is not None:
            self.wits.bundles_replaced()
        self.delegations.bundles_replaced()
        for view in self._views:
            self._publish(view)
        return True

    def put_svids(self, filled: Iterable[tuple[Entry, X509Svid, float]]) -> None:
        """Take in new SVIDs, each with its entry as it was ordered for and its time to rotate.

        What belongs to no entry any more, or to an entry with another SPIFFE ID, is left out.
        """
        own = self.bundles.own
        tainted = tainted_key_ids(own.bundle) if own is not None else frozenset()
        changed = []
        for entry, svid, rotate_at in filled:
            current = self.entries.get(entry.id)
            if current is None or current.spiffe_id != svid.id:
                continue
            authority = certificate.authority_key_id(certificate.load(svid.chain[-1]))
            held = HeldSvid(svid, entry.stamp, rotate_at, authority, authority in tainted)
            self._svids.put(entry.id, held)
            changed.append(entry.id)
        self._failed.difference_update(changed)
        self._refresh_x509(changed)

    def mark_failed(self, entry_ids: Iterable[str]) -> None:
        """Note that no SVID could be had for these; nobody waits for them until the next try."""
        failed = [entry_id for entry_id in entry_ids if entry_id in self.entries]
        self._failed.update(failed)
        self._refresh_x509(failed)

    def expire(self, now: float) -> int:
        """Withdraw every SVID that has reached its NotAfter; return how many there were."""
        gone = self._svids.expire(now)
        if gone:
            self._refresh_x509(gone)
        return len(gone)

    def refuse_wits(self) -> None:
        """Note that the server issues no WIT-SVIDs; who listens to them is told."""
        if self.wits is None:
            return
        self.wits.refused_by_server()
        for view in self._views:
            view.publish(Topic.WIT_BUNDLES, self._wit_bundles(view))
            self.wits.publish(view)

    # --- outcomes

    def _forget(self, entry_ids: Iterable[str]) -> None:
        ids = set(entry_ids)
        for entry_id in ids:
            self._parts.pop(entry_id, None)
        for key in list(self._shared):
            if not ids.isdisjoint(key):
                self._shared.pop(key, None)

    def _refresh_x509(self, entry_ids: Iterable[str]) -> None:
        ids = list(entry_ids)
        self._forget(ids)
        for view in self._views.showing(ids):
            view.publish(Topic.X509_SVID, self._x509_outcome(view.entries))
            self.delegations.publish(view)

    def _rematch(self, view: View) -> None:
        ids = self._index.within(view.selectors)
        self._views.show(view, [self.entries[entry_id] for entry_id in ids])
        self._publish(view)

    def _publish(self, view: View) -> None:
        view.publish(Topic.X509_SVID, self._x509_outcome(view.entries))
        own = self.bundles.own
        if not view.entries and not self._bundles_for_all:
            bundles_x509 = bundles_jwt = NO_IDENTITY
        elif own is None:
            bundles_x509 = bundles_jwt = WAITING
        else:
            federated = self.bundles.federated(_federates_with(view.entries))
            shown = (own, *federated)
            bundles_x509 = Outcome(State.READY, b"".join(one.x509_part for one in shown))
            bundles_jwt = Outcome(State.READY, b"".join(one.jwt_part for one in shown))
        view.publish(Topic.X509_BUNDLES, bundles_x509)
        view.publish(Topic.JWT_BUNDLES, bundles_jwt)
        self.delegations.publish(view)
        if self.wits is not None:
            view.publish(Topic.WIT_BUNDLES, self._wit_bundles(view))
            self.wits.publish(view)

    def _wit_bundles(self, view: View) -> Outcome:
        own = self.bundles.own
        if own is not None and (self.wits is None or not self.wits.supported):
            return UNSUPPORTED
        if not view.entries and not self._bundles_for_all:
            return NO_IDENTITY
        if own is None:
            return WAITING
        federated = self.bundles.federated(_federates_with(view.entries))
        return Outcome(State.READY, b"".join(one.wit_part for one in (own, *federated)))

    def _x509_outcome(self, entries: tuple[Entry, ...]) -> Outcome:
        if not entries:
            return NO_IDENTITY
        key = tuple(entry.id for entry in entries)
        outcome = self._shared.get(key)
        if outcome is None:
            outcome = self._assemble(entries)
            self._shared[key] = outcome
        return outcome

    def _assemble(self, entries: tuple[Entry, ...]) -> Outcome:
        parts = [self._part(entry) for entry in entries]
        ready = [part for part in parts if part is not None]
        coming = any(
            part is None and entry.id not in self._failed
            for entry, part in zip(entries, parts, strict=True)
        )
        if not ready:
            return WAITING if coming else UNAVAILABLE
        federated = self.bundles.federated(_federates_with(entries))
        ready.extend(encoded.federated_part for encoded in federated)
        return Outcome(State.READY, b"".join(ready), complete=not coming)

    def _part(self, entry: Entry) -> bytes | None:
        held = self._svids.get(entry.id)
        own = self.bundles.own
        if held is None or own is None:
            return None
        part = self._parts.get(entry.id)
        if part is None:
            part = encoding.x509_svid_part(held.svid, own.x509_der, entry.hint)
            self._parts[entry.id] = part
        return part


def _federates_with(entries: Iterable[Entry]) -> set[TrustDomain]:
    return {name for entry in entries for name in entry.federates_with}
