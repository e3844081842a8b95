"""The WIT-SVIDs that workloads ask for: whose they are, which are missing, what is told to whom.

Unlike X.509-SVIDs they are made on demand. The WIT-SVID of an entry is ordered when a stream opens
that shows it, renewed while such a stream is open, and dropped LINGER seconds after the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.agent.cache import encoding
from finial.agent.cache.bundles import tainted_wit_key_ids
from finial.agent.cache.views import (
    NO_IDENTITY,
    UNAVAILABLE,
    UNSUPPORTED,
    WAITING,
    Listener,
    Outcome,
    State,
    View,
    WitTopic,
)
from finial.agent.cache.wit_shelf import HeldWit, WitShelf

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from finial.agent.cache.bundles import Bundles
    from finial.agent.cache.entries import Entry
    from finial.spiffe.wit_svid import WitSvid


class Wits:
    """WIT-SVIDs by entry, and the views that are told of them; a part of Workloads.

    The server issues them if its bundle has keys for them; what it answers counts, too.
    `on_work` is called when there may be something to order or to let go; it must only take note.
    """

    def __init__(self, bundles: Bundles) -> None:
        self.on_work: Callable[[], None] = lambda: None
        self._bundles = bundles
        self._shelf = WitShelf()
        self._entries: Mapping[str, Entry] = {}
        self._listened: set[View] = set()
        self._failed: set[str] = set()  # entries whose latest order was not filled
        self._keys: frozenset[str] = frozenset()  # of the own bundle's WIT authorities
        self._refused = False  # the server said that it issues none, whatever its bundle says

    # --- questions

    @property
    def supported(self) -> bool:
        """Whether the server issues WIT-SVIDs."""
        return bool(self._keys) and not self._refused

    def held(self, entry_id: str) -> HeldWit | None:
        return self._shelf.get(entry_id)

    def due(self, now: float) -> list[Entry]:
        """Return the entries that need a new SVID, those that failed before last.

        Lets go, on the way, of what nobody asks for.
        """
        wanted: dict[str, Entry] = (
            {}
            if not self.supported
            else {
                entry.id: entry
                for view in self._listened
                for topic in view.wit_topics
                for entry in topic.of(view.entries)
            }
        )
        self._shelf.release(wanted, now)
        due = [entry for entry in wanted.values() if self._is_due(entry, now)]
        return sorted(due, key=lambda entry: entry.id in self._failed)

    def _is_due(self, entry: Entry, now: float) -> bool:
        held = self._shelf.get(entry.id)
        return held is None or held.due(entry.stamp, now)

    def can_wait(self, entry: Entry, now: float) -> bool:
        """Whether an entry is due for nothing but the key that signed its SVID."""
        held = self._shelf.get(entry.id)
        return held is not None and not held.due_by_itself(entry.stamp, now)

    def next_work(self) -> float | None:
        """Return the Unix time at which `due` has something to do."""
        return self._shelf.next_work()

    def next_expiry(self) -> float | None:
        """Return the Unix time at which `expire` has something to do."""
        return self._shelf.next_expiry()

    # --- listening

    def listen(self, view: View, topic: WitTopic, listener: Listener) -> Outcome:
        """Add a listener and return the outcome as it stands; only changes are told later."""
        listeners = view.listeners.setdefault(topic, set())
        listeners.add(listener)
        self._listened.add(view)
        self._shelf.touch(entry.id for entry in topic.of(view.entries))
        if len(listeners) == 1:
            # Who asks anew is owed a new try.
            self._failed.difference_update(entry.id for entry in topic.of(view.entries))
            view.outcomes[topic] = self._outcome(topic.of(view.entries))
            self.on_work()
        return view.outcomes[topic]

    def unlisten(self, view: View, topic: WitTopic, listener: Listener) -> None:
        """Remove a listener; with the last one the outcome goes, which has private keys in it."""
        listeners = view.listeners.get(topic, set())
        listeners.discard(listener)
        if listeners:
            return
        view.listeners.pop(topic, None)
        view.outcomes.pop(topic, None)
        if not view.wit_topics:
            self._listened.discard(view)
        self.on_work()

    # --- changes

    def entries_replaced(self, entries: Mapping[str, Entry], touched: Collection[str]) -> None:
        """Take note of new entries; the views concerned are published afterwards, by the caller."""
        self._entries = entries
        self._failed.difference_update(touched)
        for entry_id in touched:
            held, entry = self._shelf.get(entry_id), entries.get(entry_id)
            if held is not None and (entry is None or entry.spiffe_id != held.svid.id):
                self._shelf.drop(entry_id)
        self.on_work()

    def bundles_replaced(self) -> None:
        """Take note of new bundles; all views are published afterwards, by the caller."""
        own = self._bundles.own
        keys = frozenset(key.key_id for key in own.bundle.wit_authorities) if own else frozenset()
        gone = self._keys - keys
        if keys != self._keys:
            self._keys = keys
            self._refused = False
        if own is not None:
            self._shelf.distrust(tainted_wit_key_ids(own.bundle), gone)
        if not self.supported:
            self._shelf.clear()
        self.on_work()

    def refused_by_server(self) -> None:
        """Take note that the server issues none, until its bundle has other keys for them.

        The views are published afterwards, by the caller.
        """
        self._refused = True
        self._shelf.clear()

    def put(self, filled: Iterable[tuple[Entry, WitSvid, str, float]]) -> None:
        """Take in new SVIDs, each with its entry as ordered for, private JWK and time to rotate.

        What belongs to no entry any more, or to an entry with another SPIFFE ID, is left out.
        """
        own = self._bundles.own
        tainted = tainted_wit_key_ids(own.bundle) if own is not None else frozenset()
        changed = set()
        for entry, svid, key_jwk, rotate_at in filled:
            current = self._entries.get(entry.id)
            if current is None or current.spiffe_id != svid.id:
                continue
            held = HeldWit(svid, key_jwk, entry.stamp, rotate_at, svid.key_id in tainted)
            self._shelf.put(entry.id, held)
            changed.add(entry.id)
        self._failed -= changed
        self._refresh(changed)

    def mark_failed(self, entry_ids: Iterable[str]) -> None:
        """Note that no SVID could be had for these; nobody waits for them until the next try."""
        failed = {entry_id for entry_id in entry_ids if entry_id in self._entries}
        self._failed |= failed
        self._refresh(failed)

    def expire(self, now: float) -> int:
        """Withdraw every SVID that has reached its expiry; return how many there were."""
        gone = self._shelf.expire(now)
        self._refresh(gone)
        return len(gone)

    # --- outcomes

    def publish(self, view: View) -> None:
        """Bring what is listened to of a view up to date."""
        for topic in view.wit_topics:
            view.publish(topic, self._outcome(topic.of(view.entries)))

    def _refresh(self, entry_ids: Collection[str]) -> None:
        if not entry_ids:
            return
        for view in tuple(self._listened):
            if any(entry.id in entry_ids for entry in view.entries):
                self.publish(view)

    def _outcome(self, entries: tuple[Entry, ...]) -> Outcome:
        if self._bundles.own is not None and not self.supported:
            return UNSUPPORTED
        if not entries:
            return NO_IDENTITY
        held = [(entry, self._shelf.get(entry.id)) for entry in entries]
        coming = any(one is None and entry.id not in self._failed for entry, one in held)
        ready = [_part(entry, one) for entry, one in held if one is not None]
        if not ready:
            return WAITING if coming else UNAVAILABLE
        return Outcome(State.READY, b"".join(ready), complete=not coming)


def _part(entry: Entry, held: HeldWit) -> bytes:
    return encoding.wit_svid_part(entry.spiffe_id, held.svid.token, held.key_jwk, entry.hint)
