"""Tokens hold what JWT-SVIDs hold, and verify with an implementation that isn't ours."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from finial.server.signer.model import AuthorityKind, AuthorityRef, KeyType
from tests.fakes.signers import FakeSigners, settings
from tests.server.signer.test_signing_policy import NOW, jwt_order

ALGORITHMS = {
    KeyType.EC_P256: "ES256",
    KeyType.EC_P384: "ES384",
    KeyType.RSA_2048: "RS256",
}


async def a_token(
    key_type: KeyType = KeyType.EC_P256, *, issuer: str = "", **changes: object
) -> tuple[str, str, AuthorityRef]:
    signers = FakeSigners(settings(jwt_issuer=issuer))
    key = await signers.generate(
        AuthorityKind.JWT, "JWT-Signer-A", key_type, NOW - 10, NOW + 86_400
    )
    (result,) = await signers.sign_jwt(key.id, [jwt_order(**changes)])
    return result.token, result.jti, key


@pytest.mark.parametrize("key_type", ALGORITHMS)
async def test_a_token_verifies_with_pyjwt(key_type: KeyType) -> None:
    token, _, key = await a_token(key_type)
    claims = jwt.decode(
        token,
        load_der_public_key(key.public_key),  # type: ignore[arg-type]
        algorithms=[ALGORITHMS[key_type]],
        audience="db",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == {
        "sub": "spiffe://example.org/web",
        "aud": ["db"],
        "iat": NOW,
        "exp": NOW + 300,
    }


async def test_the_header_holds_alg_kid_and_typ_only() -> None:
    token, _, key = await a_token()
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": "ES256", "kid": key.id, "typ": "JWT"}
    assert len(key.id) == 32
    assert key.id.isalnum()


async def test_issuer_and_jti_are_there_if_wanted() -> None:
    token, jti, _ = await a_token(issuer="https://issuer.example", include_jti=True)
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["iss"] == "https://issuer.example"
    assert claims["jti"] == jti
    assert len(jti) == 22


async def test_two_tokens_never_share_a_jti() -> None:
    assert (await a_token(include_jti=True))[1] != (await a_token(include_jti=True))[1]


async def test_quotes_in_an_audience_stay_in_it() -> None:
    nasty = 'db","sub":"spiffe://example.org/admin'
    token, _, _ = await a_token(audience=[nasty, "bücher"])
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["aud"] == [nasty, "bücher"]
    assert claims["sub"] == "spiffe://example.org/web"
