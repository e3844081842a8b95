"""The bundle endpoint's document."""

import json
from dataclasses import replace

from finial.runtime.web import Request
from finial.server.federation.endpoint import BundleDocument
from finial.server.registry.feed import BundleCache
from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa

OWN = TrustDomain("example.org")
GET = Request("GET", "/")


def document(bundle: Bundle | None, refresh_hint: int = 300) -> tuple[BundleDocument, BundleCache]:
    cache = BundleCache()
    if bundle is not None:
        cache.put(bundle)
    return BundleDocument(OWN, cache, refresh_hint), cache


def test_the_document_is_laid_out_as_spire_writes_it() -> None:
    served, _ = document(replace(FakeCa().bundle(), sequence=3, refresh_hint=0))
    text = served.answer(GET).body.decode()
    assert text.startswith('{\n    "keys": [\n        {\n            "use": "x509-svid",\n')
    assert text.endswith('    ],\n    "spiffe_sequence": 3,\n    "spiffe_refresh_hint": 300\n}')
    x509, jwt = json.loads(text)["keys"]
    assert list(x509) == ["use", "kty", "crv", "x", "y", "x5c"]
    assert list(jwt) == ["use", "kty", "kid", "crv", "x", "y"]


def test_the_refresh_hint_is_the_configured_one() -> None:
    served, _ = document(FakeCa().bundle(refresh_hint=77), 120)
    assert json.loads(served.answer(GET).body)["spiffe_refresh_hint"] == 120


def test_only_the_own_trust_domain_s_bundle_is_served() -> None:
    served, cache = document(None)
    cache.put(FakeCa("other.test").bundle())
    assert served.answer(GET).status == 503


def test_a_document_is_written_once_for_each_bundle() -> None:
    served, cache = document(FakeCa().bundle())
    first = served.answer(GET)
    assert served.answer(GET).body is first.body
    cache.put(FakeCa().bundle(sequence=2))
    assert served.answer(GET).body != first.body


def test_who_has_the_document_is_not_sent_it_again() -> None:
    served, cache = document(FakeCa().bundle())
    tag = dict(served.answer(GET).headers)["ETag"]
    again = Request("GET", "/", headers={"if-none-match": f'"x", {tag}'})
    assert (served.answer(again).status, served.answer(again).body) == (304, b"")
    cache.put(FakeCa().bundle(sequence=2))
    assert served.answer(again).status == 200


def test_what_may_not_be_published_is_not_served() -> None:
    leaf = FakeCa().issue("spiffe://example.org/x").chain[0]
    served, _ = document(Bundle(OWN, (X509Authority.from_der(leaf),)))
    for _ in range(2):
        assert served.answer(GET).status == 500
