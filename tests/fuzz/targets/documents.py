"""Texts that come from outside: IDs, bundles, tokens, configuration."""

from __future__ import annotations

import contextlib

from cryptography.hazmat.primitives.asymmetric import ec

from finial.runtime.config import ConfigError, parse_document
from finial.spiffe import SpiffeError, SpiffeId, TrustDomain, base64url
from finial.spiffe import wit_svid as witnesses
from finial.spiffe.bundle import Bundle, BundleSet
from finial.spiffe.bundle.bundle_map import BundleMap
from finial.spiffe.jose.algorithm import ALGORITHMS
from finial.spiffe.jwt_svid import validate
from tests.fakes.ca import FakeCa
from tests.fakes.wit import FakeWit

NOW = 1_800_000_000.0
DOMAIN = TrustDomain.parse("example.org")
# Not drawn: an input that was kept says tomorrow what it says today.
CA = FakeCa(
    "example.org",
    now=NOW,
    key=ec.derive_private_key(7, ec.SECP256R1()),
    jwt_key=ec.derive_private_key(11, ec.SECP256R1()),
)
BUNDLES = CA.bundles()
WIT = FakeWit(
    "example.org",
    key=ec.derive_private_key(19, ec.SECP256R1()),
    workload_key=ec.derive_private_key(23, ec.SECP256R1()),
)
WIT_BUNDLES = BundleSet((WIT.bundle(),))


def spiffe_id(data: bytes) -> None:
    """An ID that is accepted is written as it was read."""
    with contextlib.suppress(SpiffeError):
        uri = data.decode("latin-1")
        assert str(SpiffeId.parse(uri)) == uri


def bundle_document(data: bytes) -> None:
    """What was read from a document can be published, and read again."""
    with contextlib.suppress(SpiffeError):
        bundle = Bundle.from_jwks(DOMAIN, data)
        again = Bundle.from_jwks(DOMAIN, bundle.to_jwks())
        assert again.x509_der() == bundle.x509_der()
        assert len(again.jwt_authorities) == len(bundle.jwt_authorities)


def bundle_pem(data: bytes) -> None:
    """PEM certificates, as a bundle file has them."""
    with contextlib.suppress(SpiffeError):
        Bundle.from_pem(DOMAIN, data)


def jwt_svid(data: bytes) -> None:
    """A token as it is; or, after a zero byte, header and payload that the authority has signed.

    Without the signature nothing would ever be read of the payload's inside.
    """
    with contextlib.suppress(SpiffeError):
        token = _signed(data[1:], CA.jwt_key) if data[:1] == b"\0" else data.decode("latin-1")
        svid = validate(token, BUNDLES, "audience", NOW)
        assert svid.id.trust_domain == DOMAIN
        assert svid.expires_at > NOW - 60


def wit_svid(data: bytes) -> None:
    """A WIT-SVID, likewise."""
    with contextlib.suppress(SpiffeError):
        token = _signed(data[1:], WIT.key) if data[:1] == b"\0" else data.decode("latin-1")
        svid = witnesses.validate(token, WIT_BUNDLES, NOW)
        assert svid.id.trust_domain == DOMAIN
        assert witnesses.parse_unverified(token).key == svid.key


def bundle_map(data: bytes) -> None:
    """What was read from a map can be published, and read again."""
    with contextlib.suppress(SpiffeError):
        bundles = BundleMap.from_json(data)
        again = BundleMap.from_json(bundles.to_json())
        assert set(again) == set(bundles)


def _signed(data: bytes, key: object) -> str:
    header, _, payload = data.partition(b"\n")
    signing_input = f"{base64url.encode(header)}.{base64url.encode(payload)}"
    signature = ALGORITHMS["ES256"].sign(key, signing_input.encode())
    return f"{signing_input}.{base64url.encode(signature)}"


def hcl_document(data: bytes) -> None:
    """A configuration file; the first byte chooses between HCL, JSON and TOML."""
    suffix = {0: "json", 1: "toml"}.get(data[0] if data else 2, "conf")
    text = data[1:] if suffix != "conf" else data
    with contextlib.suppress(ConfigError, UnicodeDecodeError):
        parse_document(text.decode(), f"fuzzed.{suffix}")
