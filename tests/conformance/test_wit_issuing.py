"""Checklist rows WIT-* that bind issuers and publishers, held against what a whole server does.

The judges are the standard library and pyjwt, not `finial.spiffe`, which the server itself goes by.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2, svid_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.runtime.config import ConfigError
from finial.server.cli.bundle_show import as_jwks
from finial.server.signer.model import AuthorityKind, KeyType
from tests.fakes.server_process import config_in, running
from tests.fakes.signers import FakeSigners

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

ID = types_pb2.SPIFFEID(trust_domain="example.org", path="/web")
ON = 'feature_flags = ["wit-svid"]'
NINE = {f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512)}
INVALID = grpc.StatusCode.INVALID_ARGUMENT

P256 = ec.generate_private_key(ec.SECP256R1()).public_key()
P384 = ec.generate_private_key(ec.SECP384R1()).public_key()
P521 = ec.generate_private_key(ec.SECP521R1()).public_key()
RSA = rsa.generate_private_key(65537, 2048).public_key()
KEYS = dict.fromkeys(NINE, RSA) | {"ES256": P256, "ES384": P384, "ES512": P521}


def spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def wanted(
    algorithm: str = "ES256", key: bytes = b"", **fields: Any
) -> svid_pb2.MintWITSVIDRequest:
    known: dict[str, Any] = {
        "id": ID,
        "public_key": key or spki(KEYS[algorithm]),
        "signing_algorithm": algorithm,
    }
    return svid_pb2.MintWITSVIDRequest(**(known | fields))


REFUSED = {
    "no subject": wanted(id=None),
    "no path": wanted(id=types_pb2.SPIFFEID(trust_domain="example.org")),
    "no key": svid_pb2.MintWITSVIDRequest(id=ID, signing_algorithm="ES256"),
    "no algorithm": wanted("", spki(P256)),
    "none": wanted("none", spki(P256)),
    "HS256": wanted("HS256", spki(P256)),
    "another key's": wanted("ES384", spki(P256)),
}


@dataclass
class Issued:
    """What one server has handed out and refused."""

    tokens: dict[str, str]
    twins: tuple[str, str]
    document: dict[str, Any]
    refusals: dict[str, grpc.StatusCode]
    appended: grpc.StatusCode

    @property
    def headers(self) -> list[dict[str, Any]]:
        return [part(token, 0) for token in self.tokens.values()]

    @property
    def claims(self) -> list[dict[str, Any]]:
        return [part(token, 1) for token in self.tokens.values()]

    def keys(self, use: str) -> list[dict[str, Any]]:
        return [key for key in self.document["keys"] if key["use"] == use]


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code()


async def issue(folder: Path, experimental: str = ON) -> Issued:
    config = config_in(folder, experimental=experimental)
    async with (
        running(config) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        svids: Any = SVIDStub(channel)
        tokens = {name: (await svids.MintWITSVID(wanted(name))).svid.token for name in sorted(NINE)}
        one, other = [(await svids.MintWITSVID(wanted())).svid.token for _ in range(2)]
        bundles: Any = BundleStub(channel)
        bundle = await bundles.GetBundle(bundle_pb2.GetBundleRequest())
        taken = types_pb2.WITKey(public_key=spki(P256), key_id=bundle.jwt_authorities[0].key_id)
        append = bundle_pb2.AppendBundleRequest(wit_authorities=[taken])
        return Issued(
            tokens=tokens,
            twins=(one, other),
            document=json.loads(as_jwks(bundle)),
            refusals={
                name: await code_of(svids.MintWITSVID(each)) for name, each in REFUSED.items()
            },
            appended=await code_of(bundles.AppendBundle(append)),
        )


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return asyncio.run(issue(tmp_path_factory.mktemp("issuer")))


def test_WIT_01_a_token_names_its_key(issued: Issued) -> None:
    (published,) = issued.keys("wit-svid")
    assert {header["kid"] for header in issued.headers} == {published["kid"]}


async def test_WIT_03_each_new_key_has_a_new_id() -> None:
    signers, start = FakeSigners(), int(time.time())
    made = [
        await signers.generate(AuthorityKind.WIT, slot, KeyType.EC_P256, start - 10, start + 3600)
        for slot in ("WIT-Signer-A", "WIT-Signer-B", "WIT-Signer-A")
    ]
    assert len({each.public_key for each in made}) == len({each.id for each in made}) == 3


def test_WIT_04_a_tokens_type_is_wit_jwt(issued: Issued) -> None:
    assert {header["typ"] for header in issued.headers} == {"wit+jwt"}


def test_WIT_05_a_token_is_signed_by_one_of_the_nine_algorithms(issued: Issued) -> None:
    (published,) = issued.keys("wit-svid")
    for token in issued.tokens.values():
        algorithm = part(token, 0)["alg"]
        assert algorithm in NINE
        pyjwt.decode(token, pyjwt.PyJWK(published, algorithm), algorithms=[algorithm])


def test_WIT_06_a_header_has_no_more_than_it_must(issued: Issued) -> None:
    assert {frozenset(header) for header in issued.headers} == {frozenset({"alg", "kid", "typ"})}


def test_WIT_08_the_subject_is_the_id_asked_for_and_one_is_needed(issued: Issued) -> None:
    assert {claims["sub"] for claims in issued.claims} == {"spiffe://example.org/web"}
    assert issued.refusals["no subject"] is INVALID
    assert issued.refusals["no path"] is INVALID


def test_WIT_09_a_token_confirms_the_workloads_public_key_and_one_is_needed(
    issued: Issued,
) -> None:
    for name, token in issued.tokens.items():
        cnf = part(token, 1)["cnf"]
        assert set(cnf) == {"jwk"}
        assert pyjwt.PyJWK(cnf["jwk"]).key == KEYS[name]
        assert "d" not in cnf["jwk"]
    assert issued.refusals["no key"] is INVALID


def test_WIT_10_the_confirmed_key_has_the_algorithm_of_its_proofs(issued: Issued) -> None:
    found = {name: part(token, 1)["cnf"]["jwk"]["alg"] for name, token in issued.tokens.items()}
    assert found == {name: name for name in NINE}
    for name in ("no algorithm", "none", "HS256", "another key's"):
        assert issued.refusals[name] is INVALID


def test_WIT_11_no_two_tokens_have_the_same_id(issued: Issued) -> None:
    ids = [claims["jti"] for claims in issued.claims]
    ids += [part(token, 1)["jti"] for token in issued.twins]
    assert len(set(ids)) == len(ids)
    assert min(map(len, ids)) >= 22  # 128 bits


def test_WIT_13_a_token_says_when_it_ends(issued: Issued) -> None:
    for claims in issued.claims:
        assert isinstance(claims["exp"], int)
        assert claims["exp"] - claims["iat"] == 3600


def test_WIT_17_a_token_has_no_issuer_that_is_one_for_openid_connect(
    issued: Issued, tmp_path: Path
) -> None:
    assert all("iss" not in claims for claims in issued.claims)
    for url in ("https://example.org", "HTTPS://example.org"):
        with pytest.raises(ConfigError, match="is an https URL"):
            config_in(tmp_path, experimental=f'{ON}, wit_issuer = "{url}"')
    named = asyncio.run(issue(tmp_path, f'{ON}, wit_issuer = "spiffe://example.org"'))
    assert {claims["iss"] for claims in named.claims} == {"spiffe://example.org"}


def test_WIT_18_a_token_has_no_audience(issued: Issued) -> None:
    assert all("aud" not in claims for claims in issued.claims)


def test_WIT_25_the_authority_is_published_for_its_use_under_its_id(issued: Issued) -> None:
    (published,) = issued.keys("wit-svid")
    assert published["kid"] == issued.headers[0]["kid"]
    assert set(published) == {"use", "kid", "kty", "crv", "x", "y"}


def test_WIT_26_no_key_id_is_published_for_two_uses(issued: Issued) -> None:
    ids = [key["kid"] for use in ("jwt-svid", "wit-svid") for key in issued.keys(use)]
    assert len(set(ids)) == len(ids) == 2
    assert issued.appended is INVALID
