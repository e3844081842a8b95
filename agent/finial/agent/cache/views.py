"""What one kind of caller sees: the view of all callers with the same selectors.

A view is the meeting point of what changes (entries, SVIDs, bundles) and who listens. The answer
for each topic is worked out once per change, as the bytes that go on the wire, and shared by all
streams of the view.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from finial.agent.cache.entries import Entry
    from finial.attestors.selector import Selector
    from finial.spiffe.spiffe_id import SpiffeId


class Topic(Enum):
    """What can be listened to."""

    X509_SVID = auto()
    X509_BUNDLES = auto()
    JWT_BUNDLES = auto()
    WIT_BUNDLES = auto()


@dataclass(frozen=True, slots=True)
class WitTopic:
    """The WIT-SVIDs of a view: of all its identities, or of the one SPIFFE ID.

    There is an outcome only while somebody listens: nothing is ordered that nobody asks for.
    """

    spiffe_id: SpiffeId | None = None

    def of(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Those of the entries that are asked for, in their order."""
        if self.spiffe_id is None:
            return entries
        return tuple(entry for entry in entries if entry.spiffe_id == self.spiffe_id)


class DelegatedTopic(Enum):
    """What a delegate can listen to; there is an outcome only while somebody listens.

    Of RIGHT and the bundles on the delegate's own view, of X509_SVIDS on the view of whom it
    acts for.
    """

    RIGHT = auto()  # whether the callers of this view are delegates
    X509_SVIDS = auto()
    X509_BUNDLES = auto()
    JWT_BUNDLES = auto()


AnyTopic = Topic | WitTopic | DelegatedTopic


class State(Enum):
    """How a topic stands for a view."""

    READY = auto()  # there is a message
    WAITING = auto()  # entitled, and the first SVID is on its way
    NO_IDENTITY = auto()  # not entitled
    UNAVAILABLE = auto()  # entitled, but the server could not be had and nothing valid is left
    UNSUPPORTED = auto()  # the server does not issue this kind at all
    NO_DELEGATE = auto()  # entitled to something, but not to act for others


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Outcome:
    """The answer for a topic: `message` is a whole serialised response when READY.

    Not `complete`: more SVIDs are on their way. An open stream is told already, a new one waits.
    """

    state: State
    message: bytes = b""
    complete: bool = True


NO_IDENTITY = Outcome(State.NO_IDENTITY)
WAITING = Outcome(State.WAITING, complete=False)
UNAVAILABLE = Outcome(State.UNAVAILABLE)
UNSUPPORTED = Outcome(State.UNSUPPORTED)
NO_DELEGATE = Outcome(State.NO_DELEGATE)


class Listener(Protocol):
    """An open stream."""

    def changed(self, outcome: Outcome) -> None:
        """Hear that the topic has a new outcome.

        Called from within a change: must neither block nor raise, nor change the cache.
        """


class View:
    """The view of one selector set; owned by Workloads, which fills it.

    `matching` are all entries whose selectors are among these, by entry id; `entries` are those
    of them that a workload is served.
    """

    __slots__ = ("__weakref__", "entries", "listeners", "matching", "outcomes", "selectors")

    def __init__(self, selectors: frozenset[Selector]) -> None:
        self.selectors = selectors
        self.matching: tuple[Entry, ...] = ()
        self.entries: tuple[Entry, ...] = ()
        self.outcomes: dict[AnyTopic, Outcome] = {Topic.WIT_BUNDLES: UNSUPPORTED}
        self.listeners: dict[AnyTopic, set[Listener]] = {topic: set() for topic in Topic}

    @property
    def listened(self) -> bool:
        """Whether any stream is open on this view."""
        return any(self.listeners.values())

    @property
    def wit_topics(self) -> list[WitTopic]:
        """What is listened to of the WIT-SVIDs."""
        return [topic for topic in self.listeners if isinstance(topic, WitTopic)]

    @property
    def delegated_topics(self) -> list[DelegatedTopic]:
        """What delegates listen to here."""
        return [topic for topic in self.listeners if topic.__class__ is DelegatedTopic]

    def publish(self, topic: AnyTopic, outcome: Outcome) -> None:
        """Set the outcome of a topic and, if it differs, tell who listens."""
        if self.outcomes.get(topic) == outcome:
            return
        self.outcomes[topic] = outcome
        for listener in tuple(self.listeners[topic]):
            listener.changed(outcome)
