from cryptography import x509

from finial.server.signer.model import AuthorityKind, CaSubject, KeyType
from tests.fakes.signers import DAY, FakeSigners, settings

NOW = 1_800_000_000


async def subject_made_with(ca_subject: CaSubject) -> str:
    signers = FakeSigners(settings(ca_subject=ca_subject))
    made = await signers.generate(
        AuthorityKind.X509, "x509-CA-A", KeyType.EC_P256, NOW - 10, NOW + DAY
    )
    certificate = x509.load_der_x509_certificate(made.certificate)
    assert certificate.issuer == certificate.subject
    return certificate.subject.rfc4514_string().replace(str(certificate.serial_number), "SERIAL")


async def test_an_authority_names_spiffe_unless_the_operator_says_otherwise() -> None:
    assert await subject_made_with(CaSubject()) == "2.5.4.5=SERIAL,O=SPIFFE,C=US"


async def test_an_authority_has_the_name_that_the_operator_configured() -> None:
    ours = CaSubject(country=("DE",), organization=("Example", "Unit"), common_name="Root")
    assert await subject_made_with(ours) == "2.5.4.5=SERIAL,CN=Root,O=Unit,O=Example,C=DE"
