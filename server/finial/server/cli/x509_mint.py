"""`x509 mint`: an X509-SVID for any ID of the trust domain; its key is made here and stays here."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from finial.api.spire.server.bundle_pb2 import GetBundleRequest
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.svid_pb2 import MintX509SVIDRequest
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.runtime.cli.client import TIMEOUT, Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import FailureError, file_failure
from finial.runtime.cli.files import PUBLIC, SECRET, write_output
from finial.runtime.cli.flags import duration, text, texts
from finial.runtime.cli.output import json_line
from finial.runtime.cli.pem import certificate_pem, private_key_pem
from finial.server.cli.admin import admin_command
from finial.server.cli.arguments import whole_seconds
from finial.server.cli.minting import wall_time, wanted_id, warn_if_capped
from finial.spiffe import SpiffeId


@dataclass(frozen=True)
class Minted:
    """DER certificates, leaf first; the key in PKCS#8; DER roots."""

    chain: Sequence[bytes]
    key: bytes
    roots: Sequence[bytes]

    def to_json(self) -> str:
        """SPIRE's members in SPIRE's order."""
        return json_line(
            {
                "x509_svid": [_b64(der) for der in self.chain],
                "private_key": _b64(self.key),
                "root_cas": [_b64(der) for der in self.roots],
            },
            sort=False,
        )

    def to_text(self) -> str:
        """PEM under three headings."""
        return (
            f"X509-SVID:\n{_certificates(self.chain)}\n"
            f"Private key:\n{private_key_pem(self.key)}\n"
            f"Root CAs:\n{_certificates(self.roots)}\n"
        )

    def write(self, folder: Path, console: Console) -> None:
        """Write three PEM files; raises FailureError."""
        for what, name, content, mode in (
            ("SVID", "svid.pem", _certificates(self.chain), PUBLIC),
            ("private key", "key.pem", private_key_pem(self.key), SECRET),
            ("root CAs", "bundle.pem", _certificates(self.roots), PUBLIC),
        ):
            try:
                write_output(folder / name, content.encode(), mode)
            except OSError as error:
                failure = file_failure("open", str(folder / name), error)
                raise FailureError(f"unable to write {what}: {failure}") from None
            shown = {"SVID": "X509-SVID", "private key": "Private key", "root CAs": "Root CAs"}
            console.show(f"{shown[what]} written to {folder / name}")


async def mint(call: Call) -> None:
    wanted = wanted_id(call)
    key, csr = key_and_csr(wanted, call.values.texts("dns"))
    asked_at = wall_time()
    request = MintX509SVIDRequest(csr=csr, ttl=whole_seconds(call.values.seconds("ttl")))
    with call.doing("unable to mint SVID: "):
        svid = (await SVIDStub(call.channel).MintX509SVID(request, timeout=TIMEOUT)).svid
    with call.doing("unable to get bundle: "):
        bundle = await BundleStub(call.channel).GetBundle(GetBundleRequest(), timeout=TIMEOUT)
    warn_if_capped(call, "X509-SVID", asked_at, svid.expires_at)
    minted = Minted(svid.cert_chain, key, [each.asn1 for each in bundle.x509_authorities])
    if folder := call.values.text("write"):
        minted.write(Path(folder), call.console)
    else:
        call.console.show(
            minted.to_json() if call.wants_json else minted.to_text(),
            end="\n" if call.wants_json else "",
        )


def key_and_csr(wanted: SpiffeId, dns_names: Sequence[str]) -> tuple[bytes, bytes]:
    """A fresh P-256 key in PKCS#8 DER, and a signed request in DER; raises FailureError."""
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(wanted.uri)]
    names += [_dns_name(name) for name in dns_names]
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.DER
    pkcs8 = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pkcs8, request.public_bytes(encoding)


def _dns_name(name: str) -> Any:
    try:
        return x509.DNSName(name)
    except ValueError:
        raise FailureError(f'DNS name "{name}" is not in ASCII: give it in its xn-- form') from None


def _certificates(ders: Sequence[bytes]) -> str:
    return "".join(map(certificate_pem, ders))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


COMMAND = admin_command(
    "x509 mint",
    mint,
    text("spiffeID", "SPIFFE ID of the X509-SVID"),
    texts("dns", "A DNS name in the X509-SVID; may be given more than once"),
    duration("ttl", "Lifetime, such as 30m; the server's default when not given"),
    text("write", "Folder to write svid.pem, key.pem and bundle.pem to"),
)
