"""What can go wrong with a registry; the API turns these into status codes and texts.

RegistryError
├── InvalidEntry             a field breaks a rule; the message says which
├── SimilarEntryExists       same SPIFFE ID, parent and selectors as a stored entry
├── EntryIdTaken             the caller's own entry ID belongs to another entry
├── UnknownFederatedBundle   the entry federates with a domain whose bundle is not stored
├── NotFound                 no such entry, agent, bundle
├── TokenExists              a join token of that value is already stored
├── AgentBanned              the record may not be attested again until it is deleted
├── KeyIdTaken               a JWT and a WIT key of one bundle would have the same ID
├── InvalidPageToken         not a token that a list gave out
└── EmptyFilter              a set filter that names nothing
"""
# ruff: noqa: N818  (each is named for what happened; the root of the tree says error)

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finial.server.registry.model import Entry


class RegistryError(Exception):
    """Base of everything that a registry refuses."""


class InvalidEntry(RegistryError):
    """A registration entry breaks a rule.

    `stored_form` tells the two groups of rules apart that SPIRE reports differently: False for
    a field that cannot be read at all, True for a readable entry that no store would take.
    """

    def __init__(self, message: str, *, stored_form: bool = False) -> None:
        super().__init__(message)
        self.stored_form = stored_form


class SimilarEntryExists(RegistryError):
    """An entry with the same SPIFFE ID, parent ID and selector set exists: `existing`."""

    def __init__(self, existing: Entry) -> None:
        super().__init__("similar entry already exists")
        self.existing = existing


class EntryIdTaken(RegistryError):
    """The entry ID chosen by the caller is in use by a different entry."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f'entry ID "{entry_id}" is already in use by another entry')
        self.entry_id = entry_id


class UnknownFederatedBundle(RegistryError):
    """No bundle is stored for a trust domain that an entry federates with."""

    def __init__(self, trust_domain: str) -> None:
        super().__init__(f'unable to find federated bundle "spiffe://{trust_domain}"')
        self.trust_domain = trust_domain


class NotFound(RegistryError):
    """The named thing is not stored; `what` is "entry", "agent" or "bundle"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")
        self.what = what


class TokenExists(RegistryError):
    """A join token of that value is already stored. The value is a secret and is not named."""

    def __init__(self) -> None:
        super().__init__("a join token of that value already exists")


class AgentBanned(RegistryError):
    """The agent is banned; only deleting its record lets it attest again."""

    def __init__(self) -> None:
        super().__init__("agent is banned")


class KeyIdTaken(RegistryError):
    """JWT and WIT keys of one bundle share their IDs, and this one is in use for the other kind."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f'key ID "{key_id}" is in use for a key of another kind')
        self.key_id = key_id


class InvalidPageToken(RegistryError):
    """The page token was not given out by a list."""

    def __init__(self, token: str) -> None:
        super().__init__(f"could not parse token '{token[:64]}'")
        self.token = token


class EmptyFilter(RegistryError):
    """A filter by a set names no member."""

    def __init__(self, what: str) -> None:
        super().__init__(f"cannot list by empty {what} set")
        self.what = what
