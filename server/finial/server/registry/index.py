"""All entries in memory, and the answer to who may have which. Pure.

An answer is kept for each agent that asked. When an entry changes, the index walks up from it, from
parent to parent, to the agents whose answer it is in, and touches only those. So a look-up costs
what its answer holds, and a change what it concerns, however many entries there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finial.server.registry.multimap import MultiMap
from finial.server.registry.view import AuthorizedView, CachedView

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from finial.attestors.selector import Selector
    from finial.server.registry.model import Entry
    from finial.spiffe.spiffe_id import SpiffeId

_SERVER_PATH = "/spire/server"


class EntryIndex:
    """Entries by ID, by parent, by SPIFFE ID; aliases by selector.

    An alias is an entry whose parent is the server: it gives another name to every node that has
    all of its selectors. Everything is keyed by full SPIFFE IDs, so that an ID of another trust
    domain never meets an entry of this one.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._by_parent: MultiMap[str] = MultiMap()
        self._by_spiffe_id: MultiMap[str] = MultiMap()
        # An alias stands under one of its selectors only: a node without that one is not meant.
        self._aliases: MultiMap[Selector] = MultiMap()
        self._views: dict[str, CachedView] = {}
        self._views_by_selector: dict[Selector, set[str]] = {}
        self._version = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, entry_id: str) -> Entry | None:
        """Return the entry of that ID."""
        return self._entries.get(entry_id)

    def is_admin(self, spiffe_id: SpiffeId) -> bool:
        """Whether an entry makes the bearer of this ID an administrator."""
        return any(entry.admin for entry in self._by_spiffe_id.get(spiffe_id.uri))

    def is_downstream(self, spiffe_id: SpiffeId) -> bool:
        """Whether an entry makes the bearer of this ID a downstream server."""
        return any(entry.downstream for entry in self._by_spiffe_id.get(spiffe_id.uri))

    def downstream_entry(self, spiffe_id: SpiffeId) -> str:
        """The ID of the first entry that makes the bearer a downstream server, "" for none."""
        found = (e.id for e in self._by_spiffe_id.get(spiffe_id.uri) if e.downstream)
        return min(found, default="")

    def authorized(
        self, agent_id: SpiffeId, node_selectors: Collection[Selector] = ()
    ) -> tuple[Entry, ...]:
        """Return the entries that an agent is authorised for, sorted by entry ID.

        They are those whose parent is the agent, one of its aliases, or the SPIFFE ID of an entry
        found so; aliases themselves are not among them.
        """
        return self.view(agent_id, node_selectors).entries

    def view(self, agent_id: SpiffeId, node_selectors: Collection[Selector] = ()) -> AuthorizedView:
        """Return the same with its version, and ready for a sync."""
        cached = self._views.get(agent_id.uri)
        if cached is None or not cached.is_for(node_selectors):
            self.forget_agent(agent_id)
            cached = self._add_view(agent_id.uri, node_selectors)
        return cached.current(self._version)

    def forget_agent(self, agent_id: SpiffeId) -> None:
        """Let go of what is kept for an agent, because it is gone."""
        self._drop_view(agent_id.uri)

    def put(self, entry: Entry) -> None:
        """Take in a new entry, or a new form of one."""
        old = self._entries.get(entry.id)
        if old is None:
            self._change(None, entry)
        elif old != entry:
            if old.spiffe_id == entry.spiffe_id and old.parent_id == entry.parent_id:
                self._amend(old, entry)
            else:
                self._change(old, entry)

    def remove(self, entry_id: str) -> None:
        """Take out an entry; one that is not there is no error."""
        entry = self._entries.get(entry_id)
        if entry is not None:
            self._change(entry, None)

    def replace_all(self, entries: Iterable[Entry]) -> None:
        """Take these entries in place of all there are; what stays the same is not touched."""
        kept = set()
        for entry in entries:
            kept.add(entry.id)
            self.put(entry)
        for entry_id in [entry_id for entry_id in self._entries if entry_id not in kept]:
            self.remove(entry_id)

    # Changes.

    def _amend(self, old: Entry, new: Entry) -> None:
        """Exchange an entry for one in the same place: who may have it stays the same."""
        if _is_alias(old) and old.selectors != new.selectors:
            self._change(old, new)
            return
        self._version += 1
        self._take_out(old)
        self._take_in(new)
        self._note(self._reaching(new.parent_id.uri), new.id, new)

    def _change(self, old: Entry | None, new: Entry | None) -> None:
        """Take out one form of an entry and take in another; either may be None.

        As long as nothing stands below either form, only its own membership changes and the views
        are amended. Otherwise the views concerned are made anew when they are next asked for.
        """
        self._version += 1
        losing: set[str] = set()
        gaining: set[str] = set()
        stale: set[str] = set()
        if old is not None:
            losing = self._reaching(old.parent_id.uri)
            stale |= self._led_on_by(old, losing)
            self._take_out(old)
        if new is not None:
            self._take_in(new)
            gaining = self._reaching(new.parent_id.uri)
            stale |= self._led_on_by(new, gaining)
        for agent in stale:
            self._drop_view(agent)
        if old is not None:
            self._note(losing - gaining - stale, old.id, None)
        if new is not None:
            self._note(gaining - stale, new.id, new)

    def _led_on_by(self, entry: Entry, holders: set[str]) -> set[str]:
        """Return the agents who have what they have below an entry because of that entry."""
        if not self._views or not self._by_parent.has(entry.spiffe_id.uri):
            return set()
        return holders | self._agents_with(entry.selectors) if _is_alias(entry) else holders

    def _note(self, agents: set[str], entry_id: str, entry: Entry | None) -> None:
        for agent in agents:
            self._views[agent].note(entry_id, entry)

    def _take_in(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        self._by_parent.add(entry.parent_id.uri, entry)
        self._by_spiffe_id.add(entry.spiffe_id.uri, entry)
        if _is_alias(entry):
            rarest = min(entry.selectors, key=self._aliases.count)
            self._aliases.add(rarest, entry)

    def _take_out(self, entry: Entry) -> None:
        del self._entries[entry.id]
        self._by_parent.discard(entry.parent_id.uri, entry)
        self._by_spiffe_id.discard(entry.spiffe_id.uri, entry)
        if _is_alias(entry):
            for selector in entry.selectors:
                self._aliases.discard(selector, entry)

    # Which agents an entry concerns.

    def _reaching(self, spiffe_id: str) -> set[str]:
        """Return the agents with a view that holds what stands below this SPIFFE ID."""
        found: set[str] = set()
        seen = {spiffe_id}
        ahead = [spiffe_id]
        while ahead and self._views:
            at = ahead.pop()
            if at in self._views:
                found.add(at)
            for entry in self._by_spiffe_id.get(at):
                if _is_alias(entry):
                    found |= self._agents_with(entry.selectors)
                parent = entry.parent_id.uri
                if parent not in seen:
                    seen.add(parent)
                    ahead.append(parent)
        return found

    def _agents_with(self, selectors: tuple[Selector, ...]) -> set[str]:
        candidates = min((self._views_by_selector.get(s, set()) for s in selectors), key=len)
        return {agent for agent in candidates if self._views[agent].selectors.issuperset(selectors)}

    # Views.

    def _add_view(self, agent: str, node_selectors: Collection[Selector]) -> CachedView:
        entries = sorted(self._closure(agent, frozenset(node_selectors)), key=lambda e: e.id)
        cached = CachedView(AuthorizedView(tuple(entries), self._version), node_selectors)
        self._views[agent] = cached
        for selector in cached.selectors:
            self._views_by_selector.setdefault(selector, set()).add(agent)
        return cached

    def _drop_view(self, agent: str) -> None:
        cached = self._views.pop(agent, None)
        if cached is None:
            return
        for selector in cached.selectors:
            agents = self._views_by_selector[selector]
            agents.discard(agent)
            if not agents:
                del self._views_by_selector[selector]

    def _closure(self, agent: str, node_selectors: frozenset[Selector]) -> list[Entry]:
        roots = {agent}
        for selector in node_selectors:
            for alias in self._aliases.get(selector):
                if node_selectors.issuperset(alias.selectors):
                    roots.add(alias.spiffe_id.uri)
        found: list[Entry] = []
        ahead = list(roots)
        seen = roots
        while ahead:
            for entry in self._by_parent.get(ahead.pop()):
                found.append(entry)
                below = entry.spiffe_id.uri
                if below not in seen:
                    seen.add(below)
                    if self._by_parent.has(below):
                        ahead.append(below)
        return found


def _is_alias(entry: Entry) -> bool:
    return entry.parent_id.path == _SERVER_PATH
