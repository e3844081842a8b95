"""WIT-SVIDs: what a signer refuses, and what it writes.

Each rule was seen to fail without its line.
"""

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.api.finial import signer_pb2
from finial.server.signer.errors import SignerRefused
from finial.server.signer.model import AuthorityKind, KeyType
from finial.server.signer.pool import SignerPool
from finial.server.signer.wit_token import MAX_KEY
from tests.fakes.clock import FakeClock
from tests.fakes.signers import FakeSigners, settings

NOW = 1_800_000_000
WIT = AuthorityKind.WIT
Code = signer_pb2.Refusal.Code
RSA = rsa.generate_private_key(65537, 2048).public_key()


def spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


P256 = spki(ec.generate_private_key(ec.SECP256R1()).public_key())
P384 = spki(ec.generate_private_key(ec.SECP384R1()).public_key())
P521 = spki(ec.generate_private_key(ec.SECP521R1()).public_key())
HUGE = spki(rsa.RSAPublicNumbers(65537, (1 << 8 * MAX_KEY) + 1).public_key())


async def signers_with(**changes: object) -> FakeSigners:
    made = FakeSigners(settings(**({"max_x509_ttl": 7200, "max_jwt_ttl": 600} | changes)))
    await made.generate(WIT, "WIT-Signer-A", KeyType.EC_P256, NOW - 10, NOW + 3 * 3600)
    return made


def order(**changes: object) -> signer_pb2.WitOrder:
    fields: dict[str, object] = {
        "spiffe_id": "spiffe://example.org/web",
        "public_key": P256,
        "algorithm": "ES256",
        "issued_at": NOW,
        "expires_at": NOW + 3600,
    }
    return signer_pb2.WitOrder(**(fields | changes))  # type: ignore[arg-type]


async def sign(signers: FakeSigners, wanted: signer_pb2.WitOrder) -> signer_pb2.WitResult:
    (key,) = await signers.authorities()
    (result,) = await signers.sign_wit(key.id, [wanted])
    return result


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return read(header), read(claims)


def read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def test_a_token_has_exactly_the_members_of_the_template() -> None:
    signers = await signers_with()
    (authority,) = await signers.authorities()
    result = await sign(signers, order())
    header, claims = parts(result.token)
    assert header == {"alg": "ES256", "kid": authority.id, "typ": "wit+jwt"}
    assert set(claims) == {"sub", "cnf", "exp", "iat", "jti"}
    assert (claims["sub"], claims["iat"], claims["exp"], claims["jti"]) == (
        "spiffe://example.org/web",
        NOW,
        NOW + 3600,
        result.jti,
    )
    assert set(claims["cnf"]) == {"jwk"}
    assert set(claims["cnf"]["jwk"]) == {"kty", "crv", "x", "y", "alg"}


async def test_no_two_tokens_have_the_same_id() -> None:
    signers = await signers_with()
    ids = {(await sign(signers, order())).jti for _ in range(20)}
    assert len(ids) == 20
    assert {len(each) for each in ids} == {22}  # 128 bits


async def test_the_issuer_is_the_configured_one_or_none() -> None:
    signers = await signers_with(wit_issuer="spiffe://example.org")
    _, claims = parts((await sign(signers, order())).token)
    assert claims["iss"] == "spiffe://example.org"


async def test_an_https_issuer_signs_nothing() -> None:
    signers = await signers_with(wit_issuer="https://example.org")
    with pytest.raises(SignerRefused):
        await sign(signers, order())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spiffe_id": "spiffe://other.org/web"}, "not in trust domain"),
        ({"spiffe_id": "spiffe://example.org"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire/server"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire/agent/a"}, "workload may have"),
        ({"spiffe_id": "https://example.org/web"}, "not a SPIFFE ID"),
        ({"spiffe_id": ""}, "not a SPIFFE ID"),
        ({"expires_at": NOW + 7201}, "above the cap"),
        ({"issued_at": NOW + 7000, "expires_at": NOW + 3 * 3600 + 1}, "after the authority's"),
        ({"expires_at": NOW}, "before it begins"),
        ({"issued_at": 0}, "before it begins"),
    ],
)
async def test_a_token_against_the_policy_is_refused(
    changes: dict[str, object], reason: str
) -> None:
    result = await sign(await signers_with(), order(**changes))
    assert result.refusal.code == Code.POLICY
    assert reason in result.refusal.message
    assert not result.token


async def test_a_token_begins_now() -> None:
    signers, now = FakeSigners(settings(clock_tolerance=60)), int(time.time())
    await signers.generate(WIT, "WIT-Signer-A", KeyType.EC_P256, now - 10, now + 7200)
    assert (await sign(signers, order(issued_at=now, expires_at=now + 60))).token
    for start in (now - 300, now + 300):
        result = await sign(signers, order(issued_at=start, expires_at=start + 600))
        assert "does not begin now" in result.refusal.message


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (P256, "ES256"),
        (P384, "ES384"),
        (P521, "ES512"),
        *((spki(RSA), f"{kind}{size}") for kind in ("RS", "PS") for size in (256, 384, 512)),
    ],
)
async def test_a_key_is_bound_with_each_algorithm_that_fits_it(key: bytes, algorithm: str) -> None:
    result = await sign(await signers_with(), order(public_key=key, algorithm=algorithm))
    _, claims = parts(result.token)
    assert claims["cnf"]["jwk"]["alg"] == algorithm
    assert "d" not in claims["cnf"]["jwk"]


@pytest.mark.parametrize(
    ("key", "algorithm", "code"),
    [
        (b"", "ES256", Code.MALFORMED_KEY),
        (b"junk", "ES256", Code.MALFORMED_KEY),
        (P256[:-1], "ES256", Code.MALFORMED_KEY),
        (P256 + b"\0" * MAX_KEY, "ES256", Code.MALFORMED_KEY),
        (HUGE, "RS256", Code.MALFORMED_KEY),
        (P256, "", Code.KEY_UNFIT),
        (P256, "none", Code.KEY_UNFIT),
        (P256, "HS256", Code.KEY_UNFIT),
        (P256, "es256", Code.KEY_UNFIT),
        (P256, "ES384", Code.KEY_UNFIT),
        (P384, "ES256", Code.KEY_UNFIT),
        (P256, "RS256", Code.KEY_UNFIT),
        (spki(RSA), "ES256", Code.KEY_UNFIT),
        (spki(rsa.generate_private_key(65537, 1024).public_key()), "RS256", Code.KEY_UNFIT),
        (
            spki(ec.generate_private_key(ec.SECP256K1()).public_key()),
            "ES256",
            Code.KEY_UNFIT,
        ),
        (spki(ed25519.Ed25519PrivateKey.generate().public_key()), "EdDSA", Code.KEY_UNFIT),
    ],
)
async def test_a_key_that_cannot_prove_anything_is_not_bound(
    key: bytes, algorithm: str, code: signer_pb2.Refusal.Code.ValueType
) -> None:
    result = await sign(await signers_with(), order(public_key=key, algorithm=algorithm))
    assert result.refusal.code == code
    assert not result.token


async def test_one_bad_order_does_not_spoil_the_others() -> None:
    signers = await signers_with()
    (key,) = await signers.authorities()
    results = await signers.sign_wit(key.id, [order(), order(public_key=b"x"), order()])
    assert [bool(each.token) for each in results] == [True, False, True]


@pytest.mark.parametrize("kind", [AuthorityKind.X509, AuthorityKind.JWT])
async def test_no_other_authority_signs_wit_svids(kind: AuthorityKind) -> None:
    signers = await signers_with()
    slot = "x509-CA-A" if kind is AuthorityKind.X509 else "JWT-Signer-A"
    other = await signers.generate(kind, slot, KeyType.EC_P256, NOW - 10, NOW + 3600)
    with pytest.raises(SignerRefused):
        await signers.sign_wit(other.id, [order()])


async def test_a_wit_authority_signs_nothing_else() -> None:
    signers = await signers_with()
    (wit,) = await signers.authorities()
    jwt = signer_pb2.JwtOrder(
        spiffe_id="spiffe://example.org/web",
        audience=["db"],
        issued_at=NOW,
        expires_at=NOW + 60,
    )
    with pytest.raises(SignerRefused):
        await signers.sign_jwt(wit.id, [jwt])
    with pytest.raises(SignerRefused):
        await signers.sign_x509(wit.id, [signer_pb2.X509Order()])


@pytest.mark.parametrize(
    ("kind", "slot"),
    [(WIT, "JWT-Signer-A"), (WIT, "x509-CA-A"), (AuthorityKind.JWT, "WIT-Signer-A")],
)
async def test_each_kind_of_authority_has_slots_of_its_own(kind: AuthorityKind, slot: str) -> None:
    with pytest.raises(SignerRefused):
        await (await signers_with()).generate(kind, slot, KeyType.EC_P256, NOW - 10, NOW + 3600)


async def test_real_signers_sign_them_beside_the_other_kinds() -> None:
    pool = SignerPool(settings(processes=2), clock=FakeClock())
    await pool.start()
    try:
        wit = await pool.generate(WIT, "WIT-Signer-A", KeyType.EC_P256, NOW - 10, NOW + 7200)
        jwt = await pool.generate(
            AuthorityKind.JWT, "JWT-Signer-A", KeyType.EC_P256, NOW - 10, NOW + 7200
        )
        tokens = await pool.sign_wit(wit.id, [order()] * 70)
        assert len({each.jti for each in tokens}) == 70
        wanted = signer_pb2.JwtOrder(
            spiffe_id="spiffe://example.org/web",
            audience=["db"],
            issued_at=NOW,
            expires_at=NOW + 60,
        )
        (token,) = await pool.sign_jwt(jwt.id, [wanted])
        assert parts(token.token)[0]["typ"] == "JWT"
    finally:
        await pool.close()
