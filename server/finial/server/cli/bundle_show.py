"""`bundle show`: the trust domain's own authorities."""

from finial import spiffe
from finial.api.spire.server.bundle_pb2 import GetBundleRequest
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.types_pb2 import Bundle
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import text
from finial.runtime.cli.pem import certificate_pem
from finial.server.cli.admin import admin_command
from finial.spiffe.bundle import Bundle as DomainBundle
from finial.spiffe.bundle import JwtAuthority, WitAuthority, X509Authority

FORMATS = ("pem", "spiffe")


async def show(call: Call) -> None:
    wanted = call.values.text("format")
    if wanted.lower() not in FORMATS:
        raise FailureError(f'invalid format: "{wanted}"')
    bundle = await BundleStub(call.channel).GetBundle(GetBundleRequest(), timeout=TIMEOUT)
    shown = as_pem if wanted.lower() == "pem" else as_jwks
    call.answer(bundle, lambda console: console.show(shown(bundle), end=""))


def as_pem(bundle: Bundle) -> str:
    """The X.509 authorities, one after the other."""
    return "".join(certificate_pem(each.asn1) for each in bundle.x509_authorities)


def as_jwks(bundle: Bundle) -> str:
    """The document that a bundle endpoint would serve."""
    try:
        document = DomainBundle(
            spiffe.TrustDomain.parse(bundle.trust_domain),
            tuple(X509Authority.from_der(each.asn1) for each in bundle.x509_authorities),
            tuple(
                JwtAuthority.from_spki(each.key_id, each.public_key)
                for each in bundle.jwt_authorities
            ),
            tuple(
                WitAuthority.from_spki(each.key_id, each.public_key)
                for each in bundle.wit_authorities
            ),
            sequence=bundle.sequence_number,
            refresh_hint=bundle.refresh_hint,
        ).to_jwks()
    except spiffe.SpiffeError as error:
        raise FailureError(f"cannot read the server's bundle: {error}") from None
    return document.decode() + "\n"


COMMAND = admin_command(
    "bundle show",
    show,
    text("format", "Format of the pretty output: pem, or spiffe for a JWK Set", "pem"),
)
