"""A WIT-SVID issuer and its workload in memory: honest, until told to lie.

``FakeWit()`` has the issuer's key and the workload's. ``token`` and ``proof`` write what an honest
pair would; each keyword is a claim that is laid over the honest ones, and one that is None is left
out. So are members of `header`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec

from finial.spiffe import base64url
from finial.spiffe.bundle import Bundle, WitAuthority
from finial.spiffe.jose.algorithm import ALGORITHMS, algorithm_for
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.wit_svid import confirmation
from tests.fakes.ca import NOW, PrivateKey

if TYPE_CHECKING:
    from collections.abc import Callable

AUDIENCE = "https://bob.example.org/orders"


class FakeWit:
    """A trust domain's WIT authority and one workload that it knows.

    Attributes:
        trust_domain: the trust domain.
        subject: the workload's SPIFFE ID, as text.
        key: the authority's private key; `key_id` names it.
        workload_key: the workload's private key.
        algorithm: what the workload proves possession with.
    """

    def __init__(
        self,
        trust_domain: str = "example.org",
        *,
        key: PrivateKey | None = None,
        workload_key: PrivateKey | None = None,
        algorithm: str = "",
        key_id: str = "wit-key-1",
    ) -> None:
        self.trust_domain = TrustDomain(trust_domain)
        self.subject = f"spiffe://{trust_domain}/alice"
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.key_id = key_id
        self.workload_key = workload_key or ec.generate_private_key(ec.SECP256R1())
        self.algorithm = algorithm or algorithm_for(self.workload_key).name

    @property
    def authority(self) -> WitAuthority:
        return WitAuthority.from_key(self.key_id, self.key.public_key())

    def bundle(self, *others: FakeWit) -> Bundle:
        """The trust domain's bundle: its key and those of `others`, WIT keys only."""
        authorities = tuple(each.authority for each in (self, *others))
        return Bundle(self.trust_domain, wit_authorities=authorities, sequence=1)

    def claims(self) -> dict[str, Any]:
        return {
            "sub": self.subject,
            "exp": int(NOW) + 3600,
            "iat": int(NOW),
            "jti": "token-1",
            "cnf": confirmation(self.workload_key.public_key(), self.algorithm),
        }

    def token(
        self,
        *,
        header: dict[str, Any] | None = None,
        alg: str = "",
        key: PrivateKey | None = None,
        **overrides: Any,
    ) -> str:
        """Sign a WIT-SVID; `alg` chooses how, and `key` with what."""
        key = key or self.key
        algorithm = ALGORITHMS[alg] if alg else algorithm_for(key)
        honest = {"alg": algorithm.name, "kid": self.key_id, "typ": "wit+jwt"}
        return sign(
            honest | (header or {}),
            self.claims() | overrides,
            lambda data: algorithm.sign(key, data),
        )

    def proof(
        self,
        token: str,
        *,
        header: dict[str, Any] | None = None,
        alg: str = "",
        key: PrivateKey | None = None,
        **overrides: Any,
    ) -> str:
        """Sign a proof for AUDIENCE with the workload's key."""
        key = key or self.workload_key
        algorithm = ALGORITHMS[alg or self.algorithm]
        claims = {
            "aud": AUDIENCE,
            "exp": int(NOW) + 30,
            "jti": "proof-1",
            "wth": digest(token),
        }
        return sign(
            {"alg": algorithm.name, "typ": "wpt+jwt"} | (header or {}),
            claims | overrides,
            lambda data: algorithm.sign(key, data),
        )


def sign(header: dict[str, Any], claims: dict[str, Any], with_key: Callable[[bytes], bytes]) -> str:
    """Write a token of any content."""
    signing_input = f"{part(header)}.{part(claims)}"
    return f"{signing_input}.{base64url.encode(with_key(signing_input.encode()))}"


def part(members: dict[str, Any]) -> str:
    kept = {name: value for name, value in members.items() if value is not None}
    return base64url.encode(json.dumps(kept).encode())


def digest(token: str) -> str:
    from hashlib import sha256

    return base64url.encode(sha256(token.encode()).digest())
