"""Certificates of downstream servers' authorities: what a signer makes, and what it refuses."""

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from finial.api.finial import signer_pb2
from finial.server.signer import downstream, template
from finial.server.signer.errors import SignerRefused
from finial.server.signer.lint import LintError
from finial.server.signer.model import AuthorityKind, AuthorityRef, CaSubject, KeyType
from finial.server.signer.policy import policy_from
from finial.server.signer.refusal import Code, Refused
from finial.server.signer.signing import sign_downstream
from finial.spiffe.bundle import Bundle, BundleSet, X509Authority
from finial.spiffe.public_key import to_spki
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.signers import DAY, FakeSigners, csr, settings
from tests.server.signer.test_template import authority as authority_key

NOW = 1_800_000_000
KEY = ec.generate_private_key(ec.SECP256R1())
SUBJECT = CaSubject(country=("DE",), organization=("ACME", "Unit"), common_name="ACME CA")


async def authority(
    signers: FakeSigners, slot: str = "x509-CA-A", key_type: KeyType = KeyType.EC_P256
) -> AuthorityRef:
    return await signers.generate(AuthorityKind.X509, slot, key_type, NOW - 10, NOW + 2 * DAY)


def order(**changes: object) -> signer_pb2.DownstreamOrder:
    fields: dict[str, object] = {"csr": csr(KEY), "not_before": NOW - 10, "not_after": NOW + DAY}
    return signer_pb2.DownstreamOrder(**(fields | changes))  # type: ignore[arg-type]


async def made(
    wanted: signer_pb2.DownstreamOrder | None = None,
    *,
    key_type: KeyType = KeyType.EC_P256,
    **changes: object,
) -> tuple[x509.Certificate, AuthorityRef]:
    signers = FakeSigners(settings(**({"downstream_authorities": True} | changes)))
    ca = await authority(signers, key_type=key_type)
    (result,) = await signers.sign_downstream(ca.id, [wanted or order()])
    assert not result.HasField("refusal"), result
    found = x509.load_der_x509_certificate(result.certificate)
    assert found.serial_number == int.from_bytes(result.serial, "big")
    return found, ca


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048])
async def test_it_is_an_authority_of_the_trust_domain_and_of_nothing_else(
    key_type: KeyType,
) -> None:
    found, ca = await made(order(csr=csr(KEY, uri="spiffe://other.org")), key_type=key_type)
    issuer = x509.load_der_x509_certificate(ca.certificate)
    found.verify_directly_issued_by(issuer)
    values = {type(each.value): (each.critical, each.value) for each in found.extensions}
    assert values.pop(x509.BasicConstraints) == (True, x509.BasicConstraints(True, None))
    critical, usage = values.pop(x509.KeyUsage)
    assert critical
    assert isinstance(usage, x509.KeyUsage)
    assert usage == issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://example.org")])
    assert values.pop(x509.SubjectAlternativeName) == (False, names)
    own = x509.SubjectKeyIdentifier.from_public_key(KEY.public_key())
    assert values.pop(x509.SubjectKeyIdentifier) == (False, own)
    above = x509.AuthorityKeyIdentifier(bytes.fromhex(ca.id), None, None)
    assert values.pop(x509.AuthorityKeyIdentifier) == (False, above)
    assert not values
    assert found.public_key() == KEY.public_key()


async def test_its_name_is_its_signers_with_the_unit_that_spire_gives() -> None:
    found, ca = await made(ca_subject=SUBJECT)
    issuer = x509.load_der_x509_certificate(ca.certificate).subject
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    assert [a.value for a in found.subject.get_attributes_for_oid(unit)] == ["DOWNSTREAM-1"]
    assert [a for a in found.subject if a.oid != unit] == list(issuer)
    assert [a.oid for a in found.subject][:4] == [
        NameOID.COUNTRY_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATION_NAME,
        unit,
    ]


async def test_what_it_signs_verifies_with_the_upper_bundle() -> None:
    found, ca = await made()
    leaf = (
        x509.CertificateBuilder(found.subject, x509.Name([]), KEY.public_key(), 7)
        .not_valid_before(found.not_valid_before_utc)
        .not_valid_after(found.not_valid_after_utc)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("spiffe://example.org/deep")]
            ),
            critical=True,
        )
        .sign(KEY, SHA256())
    )
    chain = [leaf.public_bytes(Encoding.DER), found.public_bytes(Encoding.DER)]
    own = Bundle(TrustDomain("example.org"), (X509Authority.from_der(ca.certificate),))
    assert verify_chain(chain, BundleSet([own]), NOW).id.uri == "spiffe://example.org/deep"


async def test_unless_the_policy_has_them_there_are_none() -> None:
    signers = FakeSigners(settings())
    ca = await authority(signers)
    (result,) = await signers.sign_downstream(ca.id, [order()])
    assert result.refusal.code == Code.POLICY
    assert "switched off" in result.refusal.message
    assert not result.certificate


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"not_after": NOW + 3 * DAY + 1}, Code.POLICY, "above the cap"),
        ({"not_after": NOW + 2 * DAY + 1}, Code.POLICY, "after the authority's"),
        ({"not_after": NOW - 10}, Code.POLICY, "before it begins"),
        ({"not_before": 0}, Code.POLICY, "before it begins"),
        ({"csr": b""}, Code.MALFORMED_CSR, ""),
        ({"csr": b"nonsense"}, Code.MALFORMED_CSR, ""),
        ({"csr": csr(broken=True)}, Code.BAD_CSR_SIGNATURE, "not signed"),
    ],
)
async def test_an_order_against_the_policy_is_refused(
    changes: dict[str, object], code: int, reason: str
) -> None:
    signers = FakeSigners(settings(downstream_authorities=True, max_authority_ttl=3 * DAY))
    ca = await authority(signers)
    (result,) = await signers.sign_downstream(ca.id, [order(**changes)])
    assert result.refusal.code == code
    assert reason in result.refusal.message
    assert not result.certificate


async def test_no_key_of_tokens_signs_one() -> None:
    signers = FakeSigners(settings(downstream_authorities=True))
    key = await signers.generate(
        AuthorityKind.JWT, "JWT-Signer-A", KeyType.EC_P256, NOW - 10, NOW + DAY
    )
    with pytest.raises(SignerRefused):
        await signers.sign_downstream(key.id, [order()])


async def test_every_one_is_said_aloud_by_the_signer(capfd: pytest.CaptureFixture[str]) -> None:
    found, ca = await made()
    said = capfd.readouterr().err
    assert "signer signed the authority of a downstream server" in said
    assert str(found.serial_number) in said
    assert ca.id in said


def meant(**changes: object) -> downstream.DownstreamCa:
    fields: dict[str, object] = {
        "serial": b"\x11" * 16,
        "issuer": x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SPIFFE")]),
        "authority_key_identifier": b"\x22" * 20,
        "algorithm": bytes.fromhex("300a06082a8648ce3d040302"),
        "public_key": to_spki(KEY.public_key()),
        "trust_domain": "example.org",
        "not_before": NOW - 10,
        "not_after": NOW + DAY,
    }
    return downstream.DownstreamCa(**(fields | changes))  # type: ignore[arg-type]


OTHER = to_spki(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("serial", b"\x12" * 16, "serial"),
        ("issuer", x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]), "issuer"),
        ("authority_key_identifier", b"\x23" * 20, "extensions"),
        ("public_key", OTHER, "public key"),
        ("trust_domain", "other.org", "extensions"),
        ("not_before", NOW - 11, "start"),
        ("not_after", NOW + DAY + 1, "end"),
    ],
)
def test_one_that_is_not_as_meant_is_not_signed(field: str, value: object, what: str) -> None:
    tbs = downstream.to_be_signed(meant())
    downstream.check(tbs, meant())
    with pytest.raises(LintError, match=what):
        downstream.check(tbs, replace(meant(), **{field: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (downstream._KEY_USAGE, template._KEY_USAGE),
        (downstream._A_CA, template._NOT_A_CA),
        (b"DOWNSTREAM-1", b"DOWNSTREAM-2"),
    ],
)
def test_a_mistake_of_the_template_is_not_signed(written: bytes, instead: bytes) -> None:
    tbs = downstream.to_be_signed(meant())
    at, end = tbs.index(written), tbs.index(written) + len(written)
    assert len(written) >= len(instead)
    with pytest.raises(LintError):
        downstream.check(tbs[:at] + instead + tbs[end:], meant())


def test_what_cannot_be_read_back_is_not_signed() -> None:
    with pytest.raises(LintError, match="cannot be read back"):
        downstream.check(b"\x30\x00", meant())


def test_what_the_linter_stops_is_not_signed() -> None:
    ca = authority_key()
    ca.suite = replace(ca.suite, algorithm=b"\x30\x02\x05\x00")  # an algorithm without a name
    message = settings(downstream_authorities=True).to_message().policy
    (outcome,) = sign_downstream([order(not_after=NOW + 60)], ca, policy_from(message, lambda: NOW))
    assert isinstance(outcome, Refused)
    assert outcome.code == Code.INTERNAL
