"""What a case is made of, and the short forms that the tables of cases are written in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DOMAIN = "example.org"
KEY = ec.generate_private_key(ec.SECP256R1())
"""The key of every SVID that is asked for: each caller here is who it is by its certificate."""

Request = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One call.

    Attributes:
        name: what is asked; with the group's name in front no two are the same.
        method: `Service.Method`, or for a service that nobody has generated `/full.Name/Method`.
        request: the message's fields, or those of each message of a stream. `{word}` in a text or
            in bytes is what an earlier step kept under that name.
        caller: `local`, `nobody` (no certificate), or a name from an earlier step's `becomes`.
        keep: name -> way to the value in the answer, `results.0.entry.id`.
        becomes: the caller that the SVID in the answer is from now on.
        until: asked again until this holds of the answer's fields, or of what is shown of it: for
            what the two do at other times, as the caches of entries.
        unordered: the entries in each answer have no order.
    """

    name: str
    method: str
    request: Request | Sequence[Request] = field(default_factory=dict)
    caller: str = "local"
    keep: Mapping[str, str] = field(default_factory=dict)
    becomes: str = ""
    until: Callable[[Any], bool] | None = None
    unordered: bool = False


Groups = dict[str, list[Step]]


def call(name: str, method: str, caller: str = "local", /, **request: Any) -> Step:
    """A step with the message's fields by name."""
    return Step(name, method, request, caller)


def spiffe_id(path: str, domain: str = DOMAIN) -> Request:
    return {"trust_domain": domain, "path": path}


def selector(value: str = "uid:0", kind: str = "unix") -> Request:
    return {"type": kind, "value": value}


def selectors(*values: str) -> list[Request]:
    return [selector(value) for value in values]


def entry(path: str = "/web", **more: Any) -> Request:
    """An entry that is well, but for what `more` says; None leaves a field out."""
    fields = {
        "spiffe_id": spiffe_id(path),
        "parent_id": spiffe_id("/node"),
        "selectors": [selector()],
    } | more
    return {name: value for name, value in fields.items() if value is not None}


def csr(
    *uris: str, dns: Sequence[str] = (), name: str = "", key: ec.EllipticCurvePrivateKey = KEY
) -> bytes:
    """A PKCS#10 request, DER."""
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    names += [x509.DNSName(each) for each in dns]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def unsigned(request: bytes) -> bytes:
    """The request with a signature that is another's."""
    return request[:-4] + bytes(byte ^ 0xFF for byte in request[-4:])


def attestation(token: str, request: bytes | None = None) -> list[Request]:
    """The stream of a node that joins by a token."""
    params = {"csr": csr() if request is None else request}
    data = {"type": "join_token", "payload": token.encode()}
    return [{"params": {"data": data, "params": params}}]


def joining(caller: str, *, alias: str = "") -> list[Step]:
    """The steps by which somebody becomes an agent; the token is kept as `<caller>_token`."""
    token = f"{caller}_token"
    request: Request = {"ttl": 600, "token": f"{caller}-token"}
    if alias:
        request["agent_id"] = spiffe_id(alias)
    return [
        Step(f"{caller}: token", "Agent.CreateJoinToken", request, keep={token: "value"}),
        Step(
            f"{caller}: attest",
            "Agent.AttestAgent",
            attestation(f"{{{token}}}"),
            "nobody",
            becomes=caller,
        ),
    ]


def agent_path(caller: str) -> str:
    return f"/spire/agent/join_token/{{{caller}_token}}"
