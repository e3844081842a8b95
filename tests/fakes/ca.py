"""A certificate authority in memory: honest, until told to lie.

``FakeCa()`` signs what SPIRE's would for a trust domain. Each keyword of ``issue`` and
``intermediate`` changes one thing about the certificate and leaves the rest honest; ``FakeCa(...)``
takes the same for its own root. ``jwt`` does likewise for tokens.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from finial.spiffe import base64url
from finial.spiffe.bundle import Bundle, BundleSet, JwtAuthority, X509Authority
from finial.spiffe.jose.algorithm import ALGORITHMS, algorithm_for
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import X509Svid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finial.spiffe.public_key import PublicKey

NOW = 1_800_000_000.0
"""The time of FakeClock's start, and of every fake here unless told otherwise."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

LEAF_USAGE = frozenset({"digital_signature", "key_encipherment", "key_agreement"})
CA_USAGE = frozenset({"key_cert_sign", "crl_sign"})
_ALL_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_BACKDATE = 10


class Defects(TypedDict, total=False):
    """What may be other than honest in a certificate. Times are Unix seconds."""

    uris: Sequence[str]
    dns_names: Sequence[str]
    subject: x509.Name
    issuer_name: x509.Name
    not_before: float
    not_after: float
    serial: int
    ca: bool
    path_length: int | None
    basic_constraints: bool
    basic_constraints_critical: bool
    key_usage: frozenset[str] | None
    key_usage_critical: bool
    extended_key_usage: Sequence[x509.ObjectIdentifier] | None
    san_critical: bool
    extra_extensions: Sequence[tuple[x509.ExtensionType, bool]]
    authority_key_id: bytes | None
    subject_key_id: bytes | None
    signing_key: PrivateKey
    hash: hashes.HashAlgorithm
    broken_signature: bool


@dataclass(slots=True)
class _Plan:
    """A certificate before it is built; a defect overwrites the field of its name."""

    subject: x509.Name
    issuer_name: x509.Name
    public_key: PublicKey
    signing_key: PrivateKey
    not_before: float
    not_after: float
    uris: Sequence[str]
    ca: bool
    key_usage: frozenset[str] | None
    extended_key_usage: Sequence[x509.ObjectIdentifier] | None
    authority_key_id: bytes | None
    subject_key_id: bytes | None
    dns_names: Sequence[str] = ()
    serial: int = field(default_factory=x509.random_serial_number)
    path_length: int | None = None
    basic_constraints: bool = True
    basic_constraints_critical: bool = True
    key_usage_critical: bool = True
    san_critical: bool | None = None
    extra_extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()
    hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    broken_signature: bool = False

    def build(self) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(self.issuer_name)
            .public_key(self.public_key)
            .serial_number(self.serial)
            .not_valid_before(_moment(self.not_before))
            .not_valid_after(_moment(self.not_after))
        )
        for extension, critical in self._extensions():
            builder = builder.add_extension(extension, critical)
        ed = isinstance(self.signing_key, ed25519.Ed25519PrivateKey)
        cert = builder.sign(self.signing_key, None if ed else self.hash)  # type: ignore[arg-type]
        der = cert.public_bytes(Encoding.DER)
        # The last byte is the signature's: the rest stays as signed.
        return der[:-1] + bytes([der[-1] ^ 1]) if self.broken_signature else der

    def _extensions(self) -> list[tuple[x509.ExtensionType, bool]]:
        found: list[tuple[x509.ExtensionType, bool]] = list(self.extra_extensions)
        if self.basic_constraints:
            constraints = x509.BasicConstraints(self.ca, self.path_length)
            found.append((constraints, self.basic_constraints_critical))
        if self.key_usage is not None:
            bits = {name: name in self.key_usage for name in _ALL_USAGES}
            found.append((x509.KeyUsage(**bits), self.key_usage_critical))
        if self.extended_key_usage:
            found.append((x509.ExtendedKeyUsage(self.extended_key_usage), False))
        if self.uris or self.dns_names:
            names = [x509.DNSName(name) for name in self.dns_names]
            uris = [x509.UniformResourceIdentifier(uri) for uri in self.uris]
            critical = not self.subject.rdns if self.san_critical is None else self.san_critical
            found.append((x509.SubjectAlternativeName([*names, *uris]), critical))
        if self.subject_key_id is not None:
            found.append((x509.SubjectKeyIdentifier(self.subject_key_id), False))
        if self.authority_key_id is not None:
            identifier = x509.AuthorityKeyIdentifier(self.authority_key_id, None, None)
            found.append((identifier, False))
        return found


class FakeCa:
    """A trust domain's authority: a root (or an intermediate under one) and a JWT key.

    Attributes:
        trust_domain: the trust domain.
        now: Unix seconds; certificates are made as of then, and it may be moved.
        key: the CA's private key.
        der: the CA's certificate; `cert` is the same, read.
        jwt_key: signs tokens; `key_id` names it.
    """

    def __init__(
        self,
        trust_domain: str = "example.org",
        *,
        now: float = NOW,
        ttl: float = 86400,
        key: PrivateKey | None = None,
        jwt_key: PrivateKey | None = None,
        key_id: str = "jwt-key-1",
        **defects: Unpack[Defects],
    ) -> None:
        self.trust_domain = TrustDomain(trust_domain)
        self.now = now
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.jwt_key = jwt_key or ec.generate_private_key(ec.SECP256R1())
        self.key_id = key_id
        self._parent: FakeCa | None = None
        subject = _authority_name(f"{trust_domain} root")
        plan = self._authority_plan(subject, subject, self.key, ttl)
        plan.authority_key_id = None
        self._settle(plan, defects)

    def bundles(self, *others: FakeCa) -> BundleSet:
        """The bundles of this and of other trust domains, side by side."""
        return BundleSet(ca.bundle() for ca in (self, *others))

    def bundle(
        self, *others: FakeCa, sequence: int = 1, refresh_hint: int = 300, tainted: bool = False
    ) -> Bundle:
        """The root's bundle: its certificate and JWT key, then those of other roots."""
        roots = [ca._root() for ca in (self, *others)]
        return Bundle(
            trust_domain=self.trust_domain,
            x509_authorities=tuple(X509Authority.from_der(ca.der, tainted=tainted) for ca in roots),
            jwt_authorities=tuple(
                JwtAuthority.from_key(ca.key_id, ca.jwt_key.public_key()) for ca in roots
            ),
            sequence=sequence,
            refresh_hint=refresh_hint,
        )

    def intermediate(
        self,
        *,
        ttl: float = 43200,
        key: PrivateKey | None = None,
        **defects: Unpack[Defects],
    ) -> FakeCa:
        """A CA below this one; what it issues has it in the chain."""
        child = FakeCa.__new__(FakeCa)
        child.trust_domain = self.trust_domain
        child.now = self.now
        child.key = key or ec.generate_private_key(ec.SECP256R1())
        child.jwt_key, child.key_id = self.jwt_key, self.key_id
        child._parent = self
        name = _authority_name(f"intermediate {x509.random_serial_number()}")
        plan = child._authority_plan(name, self.cert.subject, self.key, ttl)
        plan.authority_key_id = _key_id(self.key.public_key())
        child._settle(plan, defects)
        return child

    def issue(
        self,
        spiffe_id: str | SpiffeId,
        *,
        ttl: float = 3600,
        csr_public_key: PublicKey | None = None,
        key: PrivateKey | None = None,
        hint: str = "",
        **defects: Unpack[Defects],
    ) -> X509Svid:
        """Issue a leaf; with `csr_public_key` the result holds no private key.

        Raises:
            SpiffeIdError: the ID is malformed: use `uris` for that.
        """
        if csr_public_key is None:
            key = key or ec.generate_private_key(ec.SECP256R1())
        public_key = csr_public_key or key.public_key()  # type: ignore[union-attr]
        plan = _Plan(
            subject=_name(("C", "US"), ("O", "SPIRE")),
            issuer_name=self.cert.subject,
            public_key=public_key,
            signing_key=self.key,
            not_before=self.now - _BACKDATE,
            not_after=self.now + ttl,
            uris=[str(spiffe_id)],
            ca=False,
            key_usage=LEAF_USAGE,
            extended_key_usage=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
            authority_key_id=_key_id(self.key.public_key()),
            subject_key_id=_key_id(public_key),
        )
        _apply(plan, defects)
        return X509Svid(
            id=SpiffeId(str(spiffe_id)),
            chain=(plan.build(), *self._chain()),
            key_pkcs8=b"" if key is None else pkcs8(key),
            not_before=int(plan.not_before),
            not_after=int(plan.not_after),
            serial=plan.serial,
            hint=hint,
        )

    def jwt(
        self,
        sub: str | SpiffeId,
        aud: Sequence[str] | str,
        /,
        *,
        ttl: float = 300,
        key: PrivateKey | None = None,
        alg: str | None = None,
        header: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> str:
        """Sign a token.

        `overrides` are claims; one that is None is left out. So are members of `header`, which is
        laid over the honest one. `alg` chooses how to sign, and `key` with what.
        """
        key = key or self.jwt_key
        algorithm = ALGORITHMS[alg] if alg else algorithm_for(key)
        honest = {
            "sub": str(sub),
            "aud": list(aud) if not isinstance(aud, str) else aud,
            "exp": int(self.now + ttl),
            "iat": int(self.now),
        }
        head = {"alg": algorithm.name, "kid": self.key_id, "typ": "JWT"} | (header or {})
        signing_input = f"{_segment(head)}.{_segment(honest | overrides)}"
        signature = algorithm.sign(key, signing_input.encode())
        return f"{signing_input}.{base64url.encode(signature)}"

    def _root(self) -> FakeCa:
        return self._parent._root() if self._parent else self

    def _chain(self) -> tuple[bytes, ...]:
        """What goes under a leaf of this CA: intermediates, without the root."""
        return (self.der, *self._parent._chain()) if self._parent else ()

    def _authority_plan(
        self, subject: x509.Name, issuer: x509.Name, signing_key: PrivateKey, ttl: float
    ) -> _Plan:
        return _Plan(
            subject=subject,
            issuer_name=issuer,
            public_key=self.key.public_key(),
            signing_key=signing_key,
            not_before=self.now - _BACKDATE,
            not_after=self.now + ttl,
            uris=[self.trust_domain.id_uri],
            ca=True,
            key_usage=CA_USAGE,
            extended_key_usage=None,
            authority_key_id=None,
            subject_key_id=_key_id(self.key.public_key()),
        )

    def _settle(self, plan: _Plan, defects: Defects) -> None:
        _apply(plan, defects)
        self.der = plan.build()
        self.cert = x509.load_der_x509_certificate(self.der)


def pkcs8(key: PrivateKey) -> bytes:
    """A private key as unencrypted PKCS#8 DER."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _apply(plan: _Plan, defects: Defects) -> None:
    for name, value in defects.items():
        setattr(plan, name, value)


def _authority_name(common_name: str) -> x509.Name:
    return _name(("C", "US"), ("O", "SPIFFE"), ("serialNumber", common_name))


def _name(*parts: tuple[str, str]) -> x509.Name:
    oids = {
        "C": NameOID.COUNTRY_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "serialNumber": NameOID.SERIAL_NUMBER,
    }
    return x509.Name([x509.NameAttribute(oids[kind], value) for kind, value in parts])


def _key_id(key: PublicKey) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(key).digest


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC)


def _segment(members: dict[str, Any]) -> str:
    kept = {name: value for name, value in members.items() if value is not None}
    return base64url.encode(json.dumps(kept, separators=(",", ":")).encode())
