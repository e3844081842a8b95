"""What can go wrong with a registry; the API turns these into status codes and texts.

RegistryError
├── InvalidEntry             a field breaks a rule; the message says which
├── SimilarEntryExists       same SPIFFE ID, parent and selectors as a stored entry
├── EntryIdTaken             the caller's own entry ID belongs to another entry
├── UnknownFederatedBundle   the entry federates with a domain whose bundle is not stored
├── NotFound                 no such entry, agent, bundle, federation relationship
├── BundleExists             the trust domain has a bundle already
├── RelationshipExists       the trust domain has a federation relationship already
├── BundleInUse              entries federate with the bundle's trust domain
├── TokenExists              a join token of that value is already stored
├── AgentBanned              the record may not be attested again until it is deleted
├── KeyIdTaken               two keys of one bundle would have the same ID
├── AuthorityNotThere        the bundle has no authority of that ID
├── AuthorityTainted         the authority is marked as tainted already
├── AuthorityUntainted       only a tainted authority can be taken out of the bundle by hand
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
    """The named thing is not stored; `what`: "entry", "agent", "bundle", "relationship"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")
        self.what = what


class BundleExists(RegistryError):
    """The trust domain has a bundle already."""

    def __init__(self) -> None:
        super().__init__("bundle already exists")


class RelationshipExists(RegistryError):
    """The trust domain has a federation relationship already."""

    def __init__(self, trust_domain: str) -> None:
        super().__init__(f'there is a federation relationship with "{trust_domain}" already')
        self.trust_domain = trust_domain


class BundleInUse(RegistryError):
    """So many entries federate with the trust domain whose bundle was to be deleted."""

    def __init__(self, entries: int) -> None:
        super().__init__(f"cannot delete bundle; federated with {entries} registration entries")
        self.entries = entries


class TokenExists(RegistryError):
    """A join token of that value is already stored. The value is a secret and is not named."""

    def __init__(self) -> None:
        super().__init__("a join token of that value already exists")


class AgentBanned(RegistryError):
    """The agent is banned; only deleting its record lets it attest again."""

    def __init__(self) -> None:
        super().__init__("agent is banned")


class KeyIdTaken(RegistryError):
    """JWT and WIT keys of one bundle share their IDs, and this one is in use for another key."""

    def __init__(self, key_id: str, whose: str = "a key of another kind") -> None:
        super().__init__(f'key ID "{key_id}" is in use for {whose}')
        self.key_id = key_id


class AuthorityNotThere(RegistryError):
    """The bundle has no such authority; said as SPIRE's database says it."""

    def __init__(self, kind: str, *, revoking: bool) -> None:
        words = {"x509": "root CA" if revoking else "ca", "jwt": "JWT Key", "wit": "WIT Key"}
        name = "subject key ID" if kind == "x509" else "key ID"
        super().__init__(f"no {words[kind]} found with provided {name}")


class AuthorityTainted(RegistryError):
    """The authority was tainted before; `what` is "root CA" or "key"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is already tainted")


class AuthorityUntainted(RegistryError):
    """The authority is trusted yet; `what` is "root CA" or "key"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"it is not possible to revoke an untainted {what}")


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
