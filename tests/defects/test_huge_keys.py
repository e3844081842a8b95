"""Keys and chains whose verification would keep a processor busy are refused before any of it.

A signature by a key of 16,384 bits takes as long to verify as a hundred by common ones, and a
public exponent as long as the modulus a thousand times as long.
"""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.api.finial import signer_pb2
from finial.api.spire import types_pb2
from finial.server.api.bundle_codec import decode_x509_authorities
from finial.server.api.convert import ConversionError
from finial.server.signer import csr as requests
from finial.server.signer import der
from finial.server.signer.model import AuthorityKind, KeyType
from finial.server.signer.refusal import Code, Refused
from finial.spiffe import public_key
from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.errors import BundleError, SpiffeError
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import FakeCa
from tests.fakes.signers import FakeSigners, settings

NOW = 1_800_000_000
ID = "spiffe://example.org/web"
HUGE = rsa.RSAPublicNumbers(65537, (1 << 16_383) + 1).public_key()
BUSY = rsa.RSAPublicNumbers((1 << 2000) + 1, (1 << 2047) + 1).public_key()
KEYS = pytest.mark.parametrize("key", [HUGE, BUSY], ids=["modulus", "exponent"])


def unsigned_request(key: rsa.RSAPublicKey) -> bytes:
    """A PKCS#10 request for a key that nobody has: its signature is noise."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    info = der.sequence(b"\x02\x01\x00", der.sequence(), spki, b"\xa0\x00")
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.11"), b"\x05\x00")
    noise = b"\x00" + b"\x01" * ((key.key_size + 7) // 8)
    return der.sequence(info, algorithm, der.tlv(0x03, noise))


@KEYS
def test_a_certificate_request_with_such_a_key_is_refused_without_looking_at_its_signature(
    key: rsa.RSAPublicKey,
) -> None:
    with pytest.raises(Refused) as refused:
        requests.public_key_of(unsigned_request(key))
    assert refused.value.code is Code.KEY_TOO_WEAK


@KEYS
def test_a_chain_with_such_a_key_is_refused_without_looking_at_signatures(
    key: rsa.RSAPublicKey,
) -> None:
    ca = FakeCa()
    svid = ca.issue(ID, csr_public_key=key, broken_signature=True)
    with pytest.raises(SpiffeError, match="RSA"):
        verify_chain(svid.chain, ca.bundle(), ca.now)


def test_a_chain_of_eleven_certificates_is_refused_without_looking_at_them() -> None:
    ca = FakeCa()
    leaf = ca.issue(ID).chain[0]
    with pytest.raises(SpiffeError, match="more than 10 certificates"):
        verify_chain((leaf, *([b"no certificate"] * 10)), ca.bundle(), ca.now)


@KEYS
def test_a_published_key_of_that_kind_is_no_key(key: rsa.RSAPublicKey) -> None:
    with pytest.raises(ValueError, match="RSA"):
        public_key.from_jwk(public_key.to_jwk(key))
    with pytest.raises(ValueError, match="RSA"):
        public_key.from_spki(public_key.to_spki(key))


def authority_of(key: rsa.RSAPublicKey) -> bytes:
    """A certificate with that key, signed by somebody."""
    return FakeCa().issue(ID, csr_public_key=key).chain[0]


@KEYS
def test_such_a_certificate_is_no_authority_wherever_it_is_handed_in(
    key: rsa.RSAPublicKey,
) -> None:
    """AppendBundle, federated bundles by hand and the agent's bundles read them so."""
    with pytest.raises(BundleError, match="RSA key"):
        X509Authority.from_der(authority_of(key))
    message = types_pb2.X509Certificate(asn1=authority_of(key))
    with pytest.raises(ConversionError, match="RSA key"):
        decode_x509_authorities([message])


@KEYS
def test_such_a_certificate_in_a_fetched_bundle_is_passed_over(key: rsa.RSAPublicKey) -> None:
    x5c = base64.b64encode(authority_of(key)).decode()
    jwk = {"use": "x509-svid", "x5c": [x5c], **public_key.to_jwk(key)}
    document = json.dumps({"keys": [jwk]}).encode()
    bundle = Bundle.from_jwks(TrustDomain("example.org"), document)
    assert bundle.x509_authorities == ()


@KEYS
async def test_a_downstream_server_gets_no_authority_for_such_a_key(
    key: rsa.RSAPublicKey,
) -> None:
    signers = FakeSigners(settings(downstream_authorities=True))
    ca = await signers.generate(
        AuthorityKind.X509, "x509-CA-A", KeyType.EC_P256, NOW - 10, NOW + 3600
    )
    order = signer_pb2.DownstreamOrder(
        csr=unsigned_request(key), not_before=NOW - 10, not_after=NOW + 60
    )
    (result,) = await signers.sign_downstream(ca.id, [order])
    assert result.refusal.code == Code.KEY_TOO_WEAK
    assert not result.certificate
