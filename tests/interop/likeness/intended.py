"""Where our answers differ from SPIRE's, and why; what is here and does not differ is a fault."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Part(Enum):
    """What of an answer may differ."""

    TEXT = auto()
    """Messages only: codes, details and data are the same."""
    CODE = auto()
    """The failed call's code and message."""
    OUTCOME = auto()
    """Everything."""


@dataclass(frozen=True)
class Intended:
    """One difference; `reason` is shown when the tests run."""

    part: Part
    reason: str


def _same(part: Part, reason: str, *names: str) -> dict[str, Intended]:
    return {name: Intended(part, reason) for name in names}


def _each(group: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{group}: {name}" for name in names)


WORDS = (
    "what is wrong with a value is told in words of our own, where SPIRE shows those of libraries"
)
CODE = "what the caller can mend is InvalidArgument or AlreadyExists, where SPIRE says Internal"
BUNDLE_FAULTS = tuple(
    f"{verb} bad {what}"
    for verb in ("create", "update", "set")
    for what in ("domain", "certificate", "key")
)

INTENDED: dict[str, Intended] = {
    **_same(
        Part.TEXT,
        WORDS,
        *_each("entries created", "same ID, different entry"),
        *_each(
            "entries refused",
            "empty parent",
            "parent with a bad domain",
            "ID with a bad character",
            "bad DNS name",
            "DNS label too long",
            "DNS name too long",
            "federated malformed",
            "stored, not prefetched",
        ),
        *_each("entries updated", "bad in the mask"),
        *_each("entries filtered", "list ID empty", "count ID empty"),
        *_each("entries filtered", "list bad domain", "count bad domain"),
        *_each("attestation", "nothing", "bad request"),
        *_each("agents living", "renewal with a bad request"),
        *_each("minted X.509", "malformed", "bad signature", "wildcard over another"),
        *_each("minted X.509", "bad DNS name"),
        *_each("signed", "each mistake"),
        *_each("downstream", "no request", "bad request", "bad signature"),
        *_each("own bundle", "bad certificate", "empty key", "key without ID", "bad key"),
        *_each("bundles", "get malformed", *BUNDLE_FAULTS),
        *_each("bundles deleted", "malformed"),
        *_each("published", "empty", "bad", "a WIT key"),
        *_each("relationships created", "bad domain", "no URL", "no URL at all", "bad bundle"),
        *_each("relationships got", "malformed"),
        *_each(
            "relationships updated",
            "fields missing",
            "no URL",
            "no URL at all",
            "bad bundle",
            "bad URL",
            "profile alone",
        ),
        *_each("relationships refreshed", "malformed", "nobody there"),
        *_each("relationships deleted", "each mistake"),
    ),
    **_same(
        Part.CODE,
        CODE,
        *_each("entries filtered", "list no known match", "count no known match"),
        *_each("entries paged", "bad token", "negative token", "token too big"),
        *_each("tokens", "given again"),
        *_each("attestation", "of a token that is no name"),
        *_each("agents filtered", "list no selectors", "count no selectors"),
        *_each("agents paged", "bad token"),
        *_each("minted JWT", "empty audience"),
        *_each("signed", "JWT of an empty audience"),
        *_each("bundles", "list bad token"),
        *_each("relationships got", "bad token"),
    ),
    **_same(
        Part.OUTCOME,
        "selectors are a set: one given twice is one, where SPIRE's database complains",
        *_each("entries created", "same selector twice"),
    ),
    **_same(
        Part.OUTCOME,
        "a DNS name that no certificate should carry is refused: SPIRE takes one with a space",
        *_each("entries refused", "bad DNS character"),
    ),
    **_same(
        Part.OUTCOME,
        "follows from the two before: either server has one of these entries",
        *_each("entries deleted", "what only one has made"),
    ),
    **_same(
        Part.OUTCOME,
        "a token that could not be part of an agent's ID is refused: SPIRE makes it, for no use",
        *_each("tokens", "not in an ID"),
    ),
    **_same(
        Part.OUTCOME,
        "a time that is none is refused: SPIRE's filter lets every agent pass then",
        *_each("agents filtered", "list expires before nonsense", "count expires before nonsense"),
        *_each("agents filtered", "list expires before a date", "count expires before a date"),
    ),
    **_same(
        Part.OUTCOME,
        "of a request's subject only the common name is taken; the rest is the server's",
        *_each("minted X.509", "common name", "common name and DNS names"),
    ),
    **_same(
        Part.OUTCOME,
        "an SVID comes with its entry's hint, as the message promises: SPIRE leaves it empty",
        *_each("signed", "every entry", "JWT of s-all"),
    ),
    **_same(
        Part.OUTCOME,
        "where WIT-SVIDs are off the whole call says so, not each of its items",
        *_each("signed", "WIT of an entry"),
    ),
    **_same(
        Part.OUTCOME,
        "an agent that ends a synchronisation before it asked has done nothing wrong",
        *_each("sync to 500", "nothing said"),
    ),
    **_same(
        Part.OUTCOME,
        "an entry that is asked for twice in one request is sent once",
        *_each("sync above 500", "one ID twice"),
    ),
    **_same(
        Part.OUTCOME,
        "a trust domain is given by its name: SPIRE takes any SPIFFE ID for it, path and all",
        *_each("bundles", "get by an ID"),
    ),
    **_same(
        Part.OUTCOME,
        "a connection ends with the SVID that it stands on; SPIRE's goes on, for any method",
        *_each("lives", "expired", "expired, no agent's method", "expired, anybody's method"),
    ),
}
