"""What is said of a text that is no SPIFFE ID or trust domain: the first thing wrong with it."""

from __future__ import annotations

import pytest

from finial.spiffe import SpiffeId, TrustDomain
from finial.spiffe.errors import SpiffeIdError

LETTERS = "may hold only letters, digits, dots, dashes and underscores"
DOMAIN_LETTERS = (
    "trust domain may hold only lower case letters, digits, dots, dashes and underscores"
)
LONGEST = "spiffe://td/" + "a" * (2048 - len("spiffe://td/"))


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("", "cannot be empty"),
        ("x", "scheme is missing or invalid"),
        ("a" * 3000, "scheme is missing or invalid"),
        ("SPIFFE://td/a", "scheme is missing or invalid"),
        ("spiffe:/td/a", "scheme is missing or invalid"),
        (LONGEST + "a", "longer than 2048 bytes"),
        (LONGEST[:-1] + "/", "path cannot have a trailing slash"),
        ("spiffe://", "trust domain is missing"),
        ("spiffe:///a", "trust domain is missing"),
        ("spiffe://TD/a", DOMAIN_LETTERS),
        ("spiffe://td:80/a", DOMAIN_LETTERS),
        ("spiffe://" + "a" * 256 + "/a", "trust domain is longer than 255 bytes"),
        ("spiffe://" + "a" * 254 + "A/a", DOMAIN_LETTERS),
        ("spiffe://td/", "path cannot have a trailing slash"),
        ("spiffe://td/a/", "path cannot have a trailing slash"),
        ("spiffe://td//a", "path cannot contain empty segments"),
        ("spiffe://td/a//b", "path cannot contain empty segments"),
        ("spiffe://td/é/a", f"path segments {LETTERS}"),
        ("spiffe://td/a/b c", f"path segments {LETTERS}"),
        ("spiffe://td/a?b", f"path segments {LETTERS}"),
        ("spiffe://td/./a", "path cannot contain dot segments"),
        ("spiffe://td/a/..", "path cannot contain dot segments"),
        ("spiffe://td/../é", f"path segments {LETTERS}"),
    ],
)
def test_the_first_thing_wrong_is_named(uri: str, complaint: str) -> None:
    with pytest.raises(SpiffeIdError) as refused:
        SpiffeId(uri)
    assert str(refused.value) == complaint


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "trust domain is missing"),
        ("a" * 256, "trust domain is longer than 255 bytes"),
        ("A" * 255, DOMAIN_LETTERS),
        ("td/a", DOMAIN_LETTERS),
        ("td\n", DOMAIN_LETTERS),
    ],
)
def test_the_first_thing_wrong_with_a_trust_domain_is_named(name: str, complaint: str) -> None:
    with pytest.raises(SpiffeIdError) as refused:
        TrustDomain(name)
    assert str(refused.value) == complaint


def test_names_and_ids_of_the_greatest_length_are_taken() -> None:
    assert TrustDomain("a" * 255).name == "a" * 255
    assert SpiffeId("spiffe://" + "a" * 255).path == ""
    assert SpiffeId(LONGEST).uri == LONGEST


@pytest.mark.parametrize("path", ["/.a", "/...", "/a./b", "/..a/b.", "/a/.b", "/_", "/-"])
def test_dots_within_a_segment_are_letters_like_any(path: str) -> None:
    assert SpiffeId("spiffe://td" + path).path == path


def test_ids_of_one_trust_domain_share_it() -> None:
    first, second = SpiffeId("spiffe://td.shared/a"), SpiffeId("spiffe://td.shared/b")
    assert first.trust_domain is second.trust_domain


def test_trust_domains_are_ordered_by_name() -> None:
    names = ["b", "a.b", "a", "a-b"]
    assert [str(d) for d in sorted(map(TrustDomain, names))] == sorted(names)
    assert repr(TrustDomain("a")) == "TrustDomain(name='a')"
    assert len({TrustDomain("a"), TrustDomain("a"), TrustDomain("b")}) == 2


def test_an_id_needs_a_slash_before_its_path() -> None:
    for path in ("a", "a/b", ":80/a"):
        with pytest.raises(SpiffeIdError, match=r"^path must have a leading slash$"):
            SpiffeId.of(TrustDomain("td"), path)
