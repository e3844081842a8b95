"""Trust domains and SPIFFE IDs as values."""

from __future__ import annotations

import copy
import pickle

import pytest

from finial.spiffe import SpiffeId, TrustDomain
from finial.spiffe.errors import SpiffeIdError

DOMAIN = TrustDomain("example.org")


def test_a_trust_domain_is_read_from_its_name_or_its_id() -> None:
    assert TrustDomain.parse("example.org") == TrustDomain.parse("spiffe://example.org") == DOMAIN
    assert str(DOMAIN) == "example.org"
    assert str(DOMAIN.id) == DOMAIN.id_uri == "spiffe://example.org"


@pytest.mark.parametrize("text", ["", "spiffe://", "spiffe://td/a", "spiffe://spiffe://td", "a/b"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(SpiffeIdError):
        TrustDomain.parse(text)


def test_an_id_is_joined_from_its_parts() -> None:
    spiffe_id = SpiffeId.of(DOMAIN, "/a/b")
    assert spiffe_id == SpiffeId.parse("spiffe://example.org/a/b")
    assert (spiffe_id.trust_domain, spiffe_id.path) == (DOMAIN, "/a/b")
    assert SpiffeId.of(DOMAIN, "") == DOMAIN.id
    for path in ("a", ".evil.org/a", "@evil.org/a", "/", "/a/"):
        with pytest.raises(SpiffeIdError):
            SpiffeId.of(DOMAIN, path)


def test_membership_is_of_exactly_one_trust_domain() -> None:
    spiffe_id = SpiffeId.parse("spiffe://example.org/a")
    assert spiffe_id.member_of(DOMAIN)
    assert not spiffe_id.member_of(TrustDomain("example.org.evil.org"))
    assert not spiffe_id.member_of(TrustDomain("org"))


@pytest.mark.parametrize(
    ("path", "reserved", "agent"),
    [
        ("/spire", True, False),
        ("/spire/server", True, False),
        ("/spire/agent", True, False),
        ("/spire/agent/join_token/x", True, True),
        ("/spires/agent/x", False, False),
        ("/a/spire/agent/x", False, False),
        ("/Spire/agent/x", False, False),
        ("", False, False),
    ],
)
def test_reserved_and_agent_paths_are_told_apart(path: str, reserved: bool, agent: bool) -> None:
    spiffe_id = SpiffeId.of(DOMAIN, path)
    assert (spiffe_id.is_reserved, spiffe_id.is_agent) == (reserved, agent)


def test_ids_are_values() -> None:
    one, same = SpiffeId("spiffe://td/a"), SpiffeId("spiffe://td/a")
    assert one == same
    assert hash(one) == hash(same)
    assert SpiffeId("spiffe://td/b") > one
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one
    assert repr(one) == "SpiffeId(uri='spiffe://td/a')"
    with pytest.raises(AttributeError):
        one.uri = "spiffe://td/b"  # type: ignore[misc]
