"""The written certificate against the same made by the cryptography package's builder."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from finial.api.finial import signer_pb2
from finial.server.signer import template
from finial.server.signer.authority_key import AuthorityKey, generate
from finial.server.signer.lint import lint
from finial.server.signer.names import MAX_COMMON_NAME, is_common_name, is_dns_name
from finial.server.signer.template import Leaf
from finial.spiffe.spiffe_id import SpiffeId

NOW = 1_800_000_000
KEY_TYPES: dict[int, Any] = {
    signer_pb2.EC_P256: hashes.SHA256(),
    signer_pb2.EC_P384: hashes.SHA384(),
    signer_pb2.RSA_2048: hashes.SHA256(),
}
SUBJECT_KEYS: dict[str, Any] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def authority(key_type: signer_pb2.KeyType.ValueType = signer_pb2.EC_P256) -> AuthorityKey:
    order = signer_pb2.GenerateAuthority(
        slot="x509-CA-A",
        kind=signer_pb2.X509,
        key_type=key_type,
        not_before=NOW - 10,
        not_after=NOW + 86_400,
    )
    return generate(
        order, "example.org", signer_pb2.CaSubject(country=["US"], organization=["SPIFFE"])
    )


CA = authority()

segments = st.text("abcXYZ019._-", min_size=1, max_size=20).filter(lambda s: s not in {".", ".."})
paths = st.lists(segments, min_size=1, max_size=40).map("/".join)
labels = st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?", fullmatch=True)
dns_names = (
    st.tuples(st.sampled_from(["", "*."]), st.lists(labels, min_size=1, max_size=4))
    .map(lambda parts: parts[0] + ".".join(parts[1]))
    .filter(is_dns_name)
)
common_names = st.one_of(
    st.just(""), st.text(min_size=1, max_size=MAX_COMMON_NAME).filter(is_common_name)
)


def leaf(ca: AuthorityKey = CA, subject_key: str = "P-256", **changes: object) -> Leaf:
    public = SUBJECT_KEYS[subject_key].public_key()
    fields: dict[str, object] = {
        "serial": template.random_serial(),
        "issuer": ca.issuer,
        "authority_key_identifier": ca.key_identifier,
        "algorithm": ca.suite.algorithm,
        "public_key": public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        "spiffe_id": "spiffe://example.org/web",
        "dns_names": (),
        "common_name": "",
        "not_before": NOW - 10,
        "not_after": NOW + 3600,
    }
    return Leaf(**(fields | changes))  # type: ignore[arg-type]


def signed(wanted: Leaf, ca: AuthorityKey = CA) -> x509.Certificate:
    tbs = template.to_be_signed(wanted)
    lint(tbs, wanted)
    return x509.load_der_x509_certificate(template.certificate(tbs, wanted.algorithm, ca.sign(tbs)))


def golden(
    wanted: Leaf, ca: AuthorityKey = CA, *, instead: tuple[x509.ExtensionType, bool] | None = None
) -> x509.Certificate:
    """What the package's own builder makes of the same wish; `instead` lies in one extension."""
    root = x509.load_der_x509_certificate(ca.record.certificate)
    key = serialization.load_der_public_key(wanted.public_key)
    subject = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SPIRE"),
    ]
    if wanted.common_name:
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, wanted.common_name))
    builder = (
        x509.CertificateBuilder(root.subject, x509.Name(subject), key)  # type: ignore[arg-type]
        .serial_number(int.from_bytes(wanted.serial, "big"))
        .not_valid_before(datetime.fromtimestamp(wanted.not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(wanted.not_after, UTC))
    )
    for value, critical in extensions(wanted, root, key):
        lie = instead if instead is not None and instead[0].oid == value.oid else None
        builder = builder.add_extension(*(lie or (value, critical)))
    return builder.sign(ca._private, KEY_TYPES[ca.record.key_type])


def extensions(wanted: Leaf, root: x509.Certificate, key: Any) -> list[tuple[Any, bool]]:
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer_key: Any = root.public_key()
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted.dns_names]
    names.append(x509.UniformResourceIdentifier(wanted.spiffe_id))
    return [
        (x509.KeyUsage(True, False, True, False, True, False, False, False, False), True),
        (x509.ExtendedKeyUsage(purposes), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False),
        (x509.SubjectAlternativeName(names), False),
    ]


@st.composite
def leaves(draw: st.DrawFn) -> Leaf:
    start = draw(st.integers(1, 4_000_000_000))
    return leaf(
        spiffe_id=SpiffeId.parse(f"spiffe://example.org/{draw(paths)}").uri,
        dns_names=tuple(draw(st.lists(dns_names, max_size=12))),
        common_name=draw(common_names),
        not_before=start,
        not_after=start + draw(st.integers(1, 400 * 86_400)),
        serial=draw(st.binary(min_size=16, max_size=16).filter(any)),
    )


@settings(deadline=None)  # the machine may be busy
@given(leaves())
def test_what_is_to_be_signed_is_what_the_builder_would_sign(wanted: Leaf) -> None:
    tbs = template.to_be_signed(wanted)
    assert tbs == golden(wanted).tbs_certificate_bytes
    lint(tbs, wanted)


@pytest.mark.parametrize("key_type", [signer_pb2.EC_P256, signer_pb2.EC_P384, signer_pb2.RSA_2048])
@pytest.mark.parametrize("subject_key", SUBJECT_KEYS)
def test_every_authority_key_signs_every_subject_key(
    key_type: signer_pb2.KeyType.ValueType, subject_key: str
) -> None:
    ca = authority(key_type)
    wanted = leaf(ca, subject_key, dns_names=("web.example.org",))
    made = signed(wanted, ca)
    assert made.tbs_certificate_bytes == golden(wanted, ca).tbs_certificate_bytes
    made.verify_directly_issued_by(x509.load_der_x509_certificate(ca.record.certificate))


def test_the_whole_certificate_differs_from_the_builders_in_its_signature_only() -> None:
    wanted = leaf(dns_names=("web.example.org", "*.example.org"), common_name="web")
    made, built = signed(wanted), golden(wanted)
    assert made.signature_algorithm_oid == built.signature_algorithm_oid
    for field in ("version", "serial_number", "issuer", "subject", "not_valid_after_utc"):
        assert getattr(made, field) == getattr(built, field)
    assert list(made.extensions) == list(built.extensions)


def test_a_common_name_is_the_first_dns_name_if_it_fits() -> None:
    assert template.common_name("", ("a.example", "b.example")) == "a.example"
    assert template.common_name("web", ("a.example",)) == "web"
    assert template.common_name("", ()) == ""
    assert template.common_name("", ("a." * 40 + "example",)) == ""


def test_serials_are_positive_and_differ() -> None:
    serials = {template.random_serial() for _ in range(1000)}
    assert len(serials) == 1000
    assert all(0 < int.from_bytes(each, "big") < 2**128 for each in serials)


def test_an_authority_certificate_has_spires_profile() -> None:
    root = x509.load_der_x509_certificate(CA.record.certificate)
    serial = str(root.serial_number)
    assert root.subject == root.issuer
    assert [(part.oid, part.value) for part in root.subject] == [
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.ORGANIZATION_NAME, "SPIFFE"),
        (NameOID.SERIAL_NUMBER, serial),
    ]
    found = {extension.oid: extension for extension in root.extensions}
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    assert found[usage.oid] == x509.Extension(usage.oid, critical=True, value=usage)
    constraints = found[x509.BasicConstraints.oid]
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=None)
    names = found[x509.SubjectAlternativeName.oid].value
    uri = x509.UniformResourceIdentifier("spiffe://example.org")
    assert names == x509.SubjectAlternativeName([uri])
    identifier = found[x509.SubjectKeyIdentifier.oid].value
    assert isinstance(identifier, x509.SubjectKeyIdentifier)
    assert identifier.digest.hex() == CA.record.id
    assert len(found) == 4  # no authority key identifier, no path length
    root.verify_directly_issued_by(root)
