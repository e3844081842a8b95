"""Certificates, certificate requests, and what asks the signers for a signature.

An input that begins with a zero byte is the part of a document that gets signed, and is signed
here: only so does the fuzzer come past the signature, to the rules.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError

from finial.api.finial import signer_pb2
from finial.server.api.convert import ConversionError
from finial.server.api.mint_csr import names_in
from finial.server.signer.csr import public_key_of
from finial.server.signer.model import BACKDATE
from finial.server.signer.refusal import Refused
from finial.spiffe import SpiffeError
from finial.spiffe.bundle import Bundle, BundleSet, X509Authority
from finial.spiffe.x509_svid import verify_chain
from finial.spiffe.x509_svid.der import split_certificates
from tests.fakes.signers import csr as new_csr
from tests.fakes.signers import lonely_signer, settings
from tests.fuzz.targets.documents import BUNDLES, CA, DOMAIN, NOW

if TYPE_CHECKING:
    from finial.server.signer.service import SignerService

    Held = dict[signer_pb2.AuthorityKind.ValueType, signer_pb2.Authority]

KEY = ec.derive_private_key(13, ec.SECP256R1())
CSR = new_csr(KEY)
SETTINGS = settings(clock_tolerance=60)
ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def x509_chain(data: bytes) -> None:
    """A chain as a peer presents it: what is accepted obeys the profile's first rules."""
    with contextlib.suppress(SpiffeError):
        chain = split_certificates(data[1:] if data[:1] == b"\0" else data)
        if data[:1] == b"\0":
            chain = tuple(signed(part, CA.key) for part in chain)
        found = verify_chain(chain, BUNDLES, NOW)
        assert found.id.trust_domain == DOMAIN
        assert found.id.path
        assert found.not_after >= NOW
        with contextlib.suppress(x509.ExtensionNotFound):
            basic = found.leaf.extensions.get_extension_for_class(x509.BasicConstraints)
            assert not basic.value.ca


def csr(data: bytes) -> None:
    """A request: the names that count when minting, and the key that the signer takes from it."""
    request = signed(data[1:], KEY) if data[:1] == b"\0" else data
    with contextlib.suppress(ConversionError):
        names = names_in(request, DOMAIN)
        assert names.spiffe_id.member_of(DOMAIN)
    with contextlib.suppress(Refused):
        public_key_of(request)


def signed(content: bytes, key: ec.EllipticCurvePrivateKey | object) -> bytes:
    """Content, algorithm, signature: the shape of certificates and requests (X.509, PKCS #10)."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = b"\0" + key.sign(content, ec.ECDSA(hashes.SHA256()))
    return _element(0x30, content + ECDSA_WITH_SHA256 + _element(0x03, signature))


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = b"" if size < 0x80 else size.to_bytes((size.bit_length() + 7) // 8, "big")
    head = bytes((tag, size)) if size < 0x80 else bytes((tag, 0x80 | len(octets))) + octets
    return head + content


def signer_request(data: bytes) -> None:
    """Whatever a taken API process asks, a signer signs no certificate outside the profile."""
    try:
        request = signer_pb2.Request.FromString(data)
    except DecodeError:
        return
    signer = lonely_signer(lambda: NOW)
    signer.answer(signer_pb2.Request(configure=SETTINGS.to_message()), ())
    held = _authorities(signer)
    _complete(request, held)
    root = X509Authority.from_der(held[signer_pb2.X509].certificate)
    reply = signer.answer(request, ())
    assert reply.refusal.code != signer_pb2.Refusal.INTERNAL
    for order, result in zip(request.sign_x509.orders, reply.x509.results, strict=False):
        assert result.refusal.code != signer_pb2.Refusal.INTERNAL
        if result.certificate:
            _judge(order, result.certificate, root)


def _authorities(signer: SignerService) -> Held:
    """Make an authority for certificates and one for tokens."""
    for kind, slot in ((signer_pb2.X509, "x509-CA-A"), (signer_pb2.JWT, "JWT-Signer-A")):
        order = signer_pb2.GenerateAuthority(
            slot=slot,
            kind=kind,
            key_type=signer_pb2.EC_P256,
            not_before=int(NOW) - 10,
            not_after=int(NOW) + 864000,
        )
        reply = signer.answer(signer_pb2.Request(generate_authority=order), ())
    return {each.kind: each for each in reply.authorities.authorities}


def _complete(request: signer_pb2.Request, held: Held) -> None:
    """Fill in what no input can know, and let no RSA key be made, which takes seconds."""
    body = request.WhichOneof("body")
    if body == "sign_x509":
        request.sign_x509.authority_id = request.sign_x509.authority_id or held[signer_pb2.X509].id
        for order in request.sign_x509.orders:
            order.csr = order.csr or CSR
    elif body == "sign_jwt":
        request.sign_jwt.authority_id = request.sign_jwt.authority_id or held[signer_pb2.JWT].id
    elif body == "generate_authority":
        request.generate_authority.key_type = min(
            request.generate_authority.key_type, signer_pb2.EC_P384
        )


def _judge(order: signer_pb2.X509Order, certificate: bytes, root: X509Authority) -> None:
    trusted = BundleSet((Bundle(DOMAIN, x509_authorities=(root,)),))
    found = verify_chain([certificate], trusted, NOW)
    assert found.id.uri == order.spiffe_id
    assert found.id.member_of(DOMAIN)
    assert found.not_after <= order.not_before + SETTINGS.max_x509_ttl + BACKDATE
    assert found.leaf.not_valid_after_utc <= root.cert.not_valid_after_utc
