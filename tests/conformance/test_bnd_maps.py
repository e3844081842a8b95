"""Checklist rows BND-13 to BND-18: bundle maps, and how often bundles are fetched."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from finial.spiffe import TrustDomain
from finial.spiffe.bundle import Bundle, BundleMap
from finial.spiffe.bundle.bundle_map import MAX_MAP
from finial.spiffe.errors import BundleError, X509SvidError
from finial.spiffe.federation import refresh_interval
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import NOW, FakeCa

HERE, THERE = TrustDomain("example.org"), TrustDomain("other.test")
MINUTES_5 = 300
LETTERS = "trust domain may hold only lower case letters, digits, dots, dashes and underscores"


def map_of(**bundles: Any) -> bytes:
    """A map's text; a name's underscore stands for a dot."""
    named = {name.replace("_", "."): bundle for name, bundle in bundles.items()}
    return json.dumps({"trust_domains": named}).encode()


def refused(data: bytes, why: str) -> None:
    with pytest.raises(BundleError) as caught:
        BundleMap.from_json(data)
    assert str(caught.value) == why


def test_BND_13_without_a_hint_a_bundle_is_fetched_every_five_minutes() -> None:
    assert refresh_interval(Bundle(HERE)) == MINUTES_5
    assert refresh_interval(Bundle.from_jwks(HERE, b'{"keys":[]}')) == MINUTES_5
    assert refresh_interval(None) == MINUTES_5


def test_BND_14_a_map_may_be_empty() -> None:
    assert dict(BundleMap.from_json(b'{"trust_domains":{}}')) == {}
    assert json.loads(BundleMap([]).to_json()) == {"trust_domains": {}}


@pytest.mark.parametrize(
    "data", [b"{}", b'{"trust_domains":null}', b'{"trust_domains":[]}', b'{"Trust_Domains":{}}']
)
def test_BND_14_a_map_without_trust_domains_is_refused(data: bytes) -> None:
    refused(data, "bundle map: trust_domains is missing or no object")


def test_BND_14_what_is_written_is_read_each_for_its_own_trust_domain() -> None:
    ours, theirs = FakeCa("example.org"), FakeCa("other.test")
    written = BundleMap([ours.bundle(refresh_hint=0), theirs.bundle(refresh_hint=0, sequence=7)])
    read = BundleMap.from_json(written.to_json())
    assert dict(read) == dict(written)
    assert list(json.loads(written.to_json())["trust_domains"]) == ["example.org", "other.test"]
    assert read[THERE].sequence == 7
    verify_chain(theirs.issue("spiffe://other.test/a").chain, read, NOW)
    with pytest.raises(X509SvidError):
        verify_chain(theirs.issue("spiffe://example.org/a").chain, read, NOW)


def test_BND_14_unknown_members_of_a_map_are_passed_over() -> None:
    data = b'{"trust_domains":{"example.org":{"keys":[],"foo":1}},"spiffe_refresh_hint":"x"}'
    assert BundleMap.from_json(data)[HERE] == Bundle(HERE)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Example.org", LETTERS),
        ("spiffe://example.org", LETTERS),
        ("", "trust domain is missing"),
        ("a" * 256, "trust domain is longer than 255 bytes"),
    ],
)
def test_BND_14_a_name_that_is_none_spoils_the_map(name: str, why: str) -> None:
    """The map is keyed by names: an ID is none, and one that is left out would vanish."""
    refused(map_of(**{name: {"keys": []}}), f'bundle map: "{name}": {why}')


@pytest.mark.parametrize(
    ("bundle", "why"),
    [
        ({}, "no authorities found"),
        ([], "no authorities found"),
        ({"keys": [1]}, "bundle document: key 0 is not a JSON object"),
        (
            {"keys": [], "spiffe_sequence": "1"},
            "bundle document: spiffe_sequence is not a 64-bit integer",
        ),
    ],
)
def test_BND_14_a_bundle_that_is_none_spoils_the_map(bundle: object, why: str) -> None:
    """A map is taken as a whole or not at all (appendix B.1)."""
    refused(map_of(example_org={"keys": []}, other_test=bundle), f'bundle map: "other.test": {why}')


def test_BND_14_a_key_that_cannot_be_used_is_passed_over_and_named() -> None:
    keys = [{"kty": "XYZ", "use": "jwt-svid"}]
    read = BundleMap.from_json(map_of(example_org={"keys": keys}, other_test={"keys": keys}))
    assert read.complaints == (
        "example.org: key 0: unknown kty",
        "other.test: key 0: unknown kty",
    )
    assert read[HERE] == Bundle(HERE)


def test_BND_14_what_is_no_json_object_or_too_large_is_refused() -> None:
    refused(b"[]", "bundle map: not a JSON object")
    largest = b'{"trust_domains":{}}'.ljust(MAX_MAP)
    assert dict(BundleMap.from_json(largest)) == {}
    refused(largest + b" ", f"bundle map is larger than {MAX_MAP} bytes")


def test_BND_15_a_trust_domain_is_written_once() -> None:
    bundle = FakeCa().bundle()
    with pytest.raises(BundleError) as caught:
        BundleMap([bundle, replace(bundle, sequence=2)])
    assert str(caught.value) == "a trust domain has two bundles in the map"


@pytest.mark.parametrize("again", ["example.org", "exam\\u0070le.org"])
def test_BND_16_a_trust_domain_given_twice_spoils_the_map(again: str) -> None:
    refused(
        b'{"trust_domains":{"example.org":{"keys":[]},"%s":{"keys":[]}}}' % again.encode(),
        "bundle map: a member is given twice",
    )


def test_BND_16_a_second_set_of_trust_domains_spoils_the_map() -> None:
    refused(
        b'{"trust_domains":{},"trust_domains":{"example.org":{"keys":[]}}}',
        "bundle map: a member is given twice",
    )


def test_BND_17_no_bundle_in_a_map_is_written_with_a_refresh_hint() -> None:
    ca = FakeCa()
    assert b"spiffe_refresh_hint" in ca.bundle(refresh_hint=60).to_jwks()
    assert b"refresh_hint" not in BundleMap([ca.bundle(refresh_hint=60)]).to_json()


def test_BND_18_a_refresh_hint_within_a_map_is_forgotten() -> None:
    read = BundleMap.from_json(map_of(example_org={"keys": [], "spiffe_refresh_hint": 60}))
    assert read[HERE].refresh_hint == 0
    assert refresh_interval(read[HERE]) == MINUTES_5
