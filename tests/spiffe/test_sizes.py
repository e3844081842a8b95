"""Everything that a stranger sends has an end, to the byte; what is that long exactly is read."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509 import ObjectIdentifier, UnrecognizedExtension

from finial.spiffe import TrustDomain, certificate, errors, strict_json
from finial.spiffe.bundle import Bundle
from finial.spiffe.bundle.bundle_map import BundleMap
from finial.spiffe.errors import BundleError, FederationError, JwtSvidError
from finial.spiffe.federation import BundleUrl
from finial.spiffe.jwt_svid import parse_unverified
from tests.fakes.ca import FakeCa

ID = "spiffe://example.org/a"
DOMAIN = TrustDomain("example.org")


def certificate_of(size: int) -> bytes:
    """A certificate of exactly so many bytes: Ed25519 signatures are all of one length."""
    ca = FakeCa(key=ed25519.Ed25519PrivateKey.generate())
    serial = 1 << 150

    def padded(padding: int) -> bytes:
        extension = UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), bytes(padding))
        return ca.issue(ID, serial=serial, extra_extensions=[(extension, False)]).chain[0]

    return padded(60_000 + size - len(padded(60_000)))


def test_a_certificate_has_at_most_64_kib() -> None:
    longest, longer = certificate_of(65536), certificate_of(65537)
    assert (len(longest), len(longer)) == (65536, 65537)
    assert isinstance(certificate.load(longest), x509.Certificate)
    with pytest.raises(ValueError, match="larger than 65536 bytes"):
        certificate.load(longer)


def token_of(size: int) -> str:
    """A token of exactly so many bytes; base64 leaves out one length in four."""
    ca = FakeCa()
    for extra in range(4):
        ca.key_id = "k" * (5 + extra)
        padding = (size - len(ca.jwt(ID, ["a"], pad=""))) * 3 // 4
        for more in range(-3, 4):
            token = ca.jwt(ID, ["a"], pad="p" * (padding + more))
            if len(token) == size:
                return token
    raise AssertionError("no token of this size")


def test_a_token_has_at_most_16_kib() -> None:
    assert parse_unverified(token_of(16384)).id.uri == ID
    with pytest.raises(JwtSvidError, match="token is larger than 16384 bytes"):
        parse_unverified(token_of(16385))


def test_a_bundle_document_has_at_most_4_mib() -> None:
    longest = b'{"keys":[]}'.ljust(4 << 20)
    assert Bundle.from_jwks(DOMAIN, longest) == Bundle(DOMAIN)
    with pytest.raises(BundleError, match="larger than 4194304 bytes"):
        Bundle.from_jwks(DOMAIN, longest + b" ")


def test_a_bundle_map_has_at_most_16_mib() -> None:
    longest = b'{"trust_domains":{}}'.ljust(16 << 20)
    assert len(BundleMap.from_json(longest)) == 0
    with pytest.raises(BundleError, match="larger than 16777216 bytes"):
        BundleMap.from_json(longest + b" ")


def test_a_number_has_at_most_40_digits() -> None:
    assert strict_json.read_object(b'{"a":' + b"9" * 40 + b"}") == {"a": 10**40 - 1}
    with pytest.raises(ValueError, match="too large"):
        strict_json.read_object(b'{"a":' + b"9" * 41 + b"}")


def test_an_object_may_have_many_members() -> None:
    document = {str(number): number for number in range(1000)}
    assert strict_json.read_object(json.dumps(document).encode()) == document


def test_a_strangers_text_is_quoted_up_to_256_characters() -> None:
    assert errors.quoted("a" * 256) == '"' + "a" * 256 + '"'
    assert errors.quoted("a" * 257) == '"' + "a" * 256 + '\\u2026"'
    assert errors.quoted('a"\n') == '"a\\"\\n"'


def test_a_bundle_map_may_have_many_trust_domains() -> None:
    bundles = [Bundle(TrustDomain(f"td{number}")) for number in range(1000)]
    assert len(BundleMap.from_json(BundleMap(bundles).to_json())) == 1000


def test_a_bundle_endpoints_url_has_at_most_2048_bytes() -> None:
    longest = "https://a.test/".ljust(2048, "x")
    assert BundleUrl(longest).host == "a.test"
    with pytest.raises(FederationError, match="malformed"):
        BundleUrl(longest + "x")
