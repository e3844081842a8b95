"""Signers without processes: the real signing service, called in place."""

import time
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from finial.api.finial import signer_pb2
from finial.server.signer.errors import SignerRefused, SignerUnavailable
from finial.server.signer.model import AuthorityKind, AuthorityRef, KeyType, SignerSettings
from finial.server.signer.service import SignerService
from finial.spiffe.trust_domain import TrustDomain

DAY = 86_400


def settings(**changes: object) -> SignerSettings:
    """Two signers with keys in memory for example.org, on simulated time."""
    wanted: dict[str, object] = {
        "trust_domain": TrustDomain("example.org"),
        "keys_path": None,
        "processes": 2,
        "max_x509_ttl": DAY,
        "max_jwt_ttl": DAY,
        "max_authority_ttl": 365 * DAY,
        "clock_tolerance": 0,
    }
    return SignerSettings(**(wanted | changes))  # type: ignore[arg-type]


def lonely_signer(now: Callable[[], float]) -> SignerService:
    """The signing service without siblings, and with nothing that could start one."""
    return SignerService(now=now, share=_nowhere, spawn=_no_spawn)


class FakeSigners:
    """Signs for real. `down` makes it unavailable; `forget()` loses all keys, as a crash does.

    `before_answer` is called between signing and answering, for what happens in between.
    """

    def __init__(self, wanted: SignerSettings | None = None) -> None:
        self._settings = wanted or settings()
        self.down = False
        self.before_answer: Callable[[], None] = lambda: None
        self.signed: list[tuple[str, int]] = []
        """Authority and number of documents of each call that signed."""
        self.forget()

    def forget(self) -> None:
        self.service = lonely_signer(time.time)
        self._ask(signer_pb2.Request(configure=self._settings.to_message()))

    async def sign_x509(
        self, authority_id: str, orders: Sequence[signer_pb2.X509Order]
    ) -> list[signer_pb2.X509Result]:
        batch = signer_pb2.SignX509(authority_id=authority_id, orders=orders)
        results = list(self._ask(signer_pb2.Request(sign_x509=batch)).x509.results)
        self.signed.append((authority_id, len(results)))
        self.before_answer()
        return results

    async def sign_jwt(
        self, authority_id: str, orders: Sequence[signer_pb2.JwtOrder]
    ) -> list[signer_pb2.JwtResult]:
        batch = signer_pb2.SignJwt(authority_id=authority_id, orders=orders)
        results = list(self._ask(signer_pb2.Request(sign_jwt=batch)).jwt.results)
        self.signed.append((authority_id, len(results)))
        self.before_answer()
        return results

    async def sign_wit(
        self, authority_id: str, orders: Sequence[signer_pb2.WitOrder]
    ) -> list[signer_pb2.WitResult]:
        batch = signer_pb2.SignWit(authority_id=authority_id, orders=orders)
        results = list(self._ask(signer_pb2.Request(sign_wit=batch)).wit.results)
        self.signed.append((authority_id, len(results)))
        self.before_answer()
        return results

    async def sign_downstream(
        self, authority_id: str, orders: Sequence[signer_pb2.DownstreamOrder]
    ) -> list[signer_pb2.X509Result]:
        batch = signer_pb2.SignDownstream(authority_id=authority_id, orders=orders)
        results = list(self._ask(signer_pb2.Request(sign_downstream=batch)).x509.results)
        self.signed.append((authority_id, len(results)))
        self.before_answer()
        return results

    async def authorities(self) -> list[AuthorityRef]:
        request = signer_pb2.Request(list_authorities=signer_pb2.ListAuthorities())
        return [AuthorityRef.from_message(a) for a in self._ask(request).authorities.authorities]

    async def generate(
        self, kind: AuthorityKind, slot: str, key_type: KeyType, not_before: int, not_after: int
    ) -> AuthorityRef:
        order = signer_pb2.GenerateAuthority(
            slot=slot,
            kind=kind.wire,
            key_type=key_type.wire,
            not_before=not_before,
            not_after=not_after,
        )
        reply = self._ask(signer_pb2.Request(generate_authority=order))
        held = [AuthorityRef.from_message(each) for each in reply.authorities.authorities]
        return next(each for each in held if each.slot == slot)

    async def drop(self, slot: str, authority_id: str) -> None:
        order = signer_pb2.DropAuthority(slot=slot, authority_id=authority_id)
        self._ask(signer_pb2.Request(drop_authority=order))

    def _ask(self, request: signer_pb2.Request) -> signer_pb2.Reply:
        if self.down:
            raise SignerUnavailable("the signers are down")
        reply = self.service.answer(request, ())
        if reply.HasField("refusal"):
            raise SignerRefused(reply.refusal)
        return reply


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def csr(key: Key | None = None, *, uri: str = "", broken: bool = False) -> bytes:
    """A PKCS#10 request; `broken` spoils the last byte of its signature."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    key = key or ec.generate_private_key(ec.SECP256R1())
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    der = builder.sign(key, digest).public_bytes(Encoding.DER)
    return der[:-1] + bytes([der[-1] ^ 1]) if broken else der


def _nowhere(share: signer_pb2.Share) -> None:
    pass


def _no_spawn(link: int, share: signer_pb2.Share) -> int:
    raise AssertionError(f"{link} {share}: a signer without processes starts no other")
