"""The certificate request of MintX509SVID: the one whose names count.

Its signature is verified where it is signed for; here it is only read.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from finial.server.api.convert import ConversionError, check_workload_id
from finial.server.api.dns_names import (
    DnsNameError,
    WildcardOverlapError,
    check_dns_name,
    check_wildcards,
)
from finial.server.signer.csr import MAX_CSR
from finial.server.signer.names import is_common_name
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

# What cryptography raises for malformed content; Warning where warnings are errors.
_MALFORMED = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    Warning,
)


@dataclass(frozen=True, slots=True)
class MintNames:
    """What a request asks to be named."""

    spiffe_id: SpiffeId
    dns_names: tuple[str, ...]
    common_name: str


def names_in(csr: bytes, own: TrustDomain) -> MintNames:
    """The names in a PKCS#10 request, DER, for a workload of the trust domain `own`.

    Raises:
        ConversionError: it is malformed, or a name in it may not be had.
    """
    if not csr:
        raise ConversionError("missing CSR")
    if len(csr) > MAX_CSR:
        raise ConversionError(f"malformed CSR: longer than {MAX_CSR} bytes")
    try:
        request = x509.load_der_x509_csr(csr)
        uris, dns_names = _alternative_names(request)
        common_name = _common_name(request)
    except _MALFORMED as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise ConversionError(f"malformed CSR: {reason}") from None
    # As SPIRE's: the first DNS name is the common name, whatever the request says.
    return MintNames(_the_id(uris, own), _checked(dns_names), "" if dns_names else common_name)


def _alternative_names(
    request: x509.CertificateSigningRequest,
) -> tuple[list[str], tuple[str, ...]]:
    try:
        kind = x509.SubjectAlternativeName
        names = request.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return [], ()
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris, tuple(names.get_values_for_type(x509.DNSName))


def _common_name(request: x509.CertificateSigningRequest) -> str:
    found = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    name = found[0].value if found else ""
    return name if isinstance(name, str) and is_common_name(name) else ""


def _the_id(uris: list[str], own: TrustDomain) -> SpiffeId:
    if not uris:
        raise ConversionError("CSR URI SAN is required")
    if len(uris) > 1:
        raise ConversionError("only one URI SAN is expected")
    try:
        return check_workload_id(SpiffeId.parse(uris[0]), own)
    except (ConversionError, SpiffeError) as error:
        raise ConversionError(f"CSR URI SAN is invalid: {error}") from None


def _checked(dns_names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for name in dns_names:
            check_dns_name(name)
        check_wildcards(dns_names)
    except DnsNameError as error:
        raise ConversionError(f"CSR DNS name is invalid: {error}") from None
    except WildcardOverlapError as error:
        raise ConversionError(
            f"CSR DNS name contains a wildcard that covers another non-wildcard name: {error}",
        ) from None
    return dns_names
