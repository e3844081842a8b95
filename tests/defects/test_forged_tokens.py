"""Tokens without end, without signature, or signed with what everybody knows, wherever we take one.

We take tokens in five places: JWT-SVIDs and WIT-SVIDs with their proofs in the library, JWT-SVIDs
in the Workload API's ValidateJWTSVID, and those that an agent has from its server.
"""

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.runtime.clock import SystemClock
from finial.spiffe import base64url, jwt_svid, wit_svid
from finial.spiffe.errors import SpiffeError
from tests.fakes.ca import NOW, FakeCa
from tests.fakes.grpcio import workload
from tests.fakes.server import FakeServer
from tests.fakes.wit import AUDIENCE, FakeWit
from tests.fakes.workload import MY_UID, RunningAgent

ID = "spiffe://example.org/web"

Forgery = Callable[[str, Any], str]
"""Makes another token of an honest one, given the public key that it would be verified with."""


def endless(token: str, _: Any) -> str:
    """Not an attack by itself: the key's owner is to sign it, as `resigned` does."""
    return token


def unsigned(token: str, _: Any) -> str:
    header, payload, _signature = token.split(".")
    return f"{_with(header, alg='none')}.{payload}."


def keyed_with_pem(token: str, key: Any) -> str:
    return _mac(token, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def keyed_with_der(token: str, key: Any) -> str:
    return _mac(token, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _mac(token: str, secret: bytes) -> str:
    header, payload, _ = token.split(".")
    data = f"{_with(header, alg='HS256')}.{payload}"
    return f"{data}.{base64url.encode(hmac.digest(secret, data.encode(), hashlib.sha256))}"


def _with(header: str, **members: str) -> str:
    found = json.loads(base64url.decode(header.encode()))
    return base64url.encode(json.dumps(found | members).encode())


FORGERIES = pytest.mark.parametrize("forge", [endless, unsigned, keyed_with_pem, keyed_with_der])


def overrides(forge: Forgery) -> dict[str, Any]:
    """What the issuer writes otherwise before the forgery."""
    return {"exp": None} if forge is endless else {}


@FORGERIES
def test_no_jwt_svid_of_that_kind_is_valid(forge: Forgery) -> None:
    ca = FakeCa()
    honest = ca.jwt(ID, ["a"])
    assert jwt_svid.validate(honest, ca.bundle(), "a", NOW).id.uri == ID
    forged = forge(ca.jwt(ID, ["a"], **overrides(forge)), ca.jwt_key.public_key())
    with pytest.raises(SpiffeError):
        jwt_svid.validate(forged, ca.bundle(), "a", NOW)


@FORGERIES
def test_no_wit_svid_of_that_kind_is_valid(forge: Forgery) -> None:
    wit = FakeWit()
    assert wit_svid.validate(wit.token(), wit.bundle(), NOW).id.uri == wit.subject
    forged = forge(wit.token(**overrides(forge)), wit.key.public_key())
    with pytest.raises(SpiffeError):
        wit_svid.validate(forged, wit.bundle(), NOW)


@FORGERIES
def test_no_proof_of_that_kind_proves_possession(forge: Forgery) -> None:
    wit = FakeWit()
    token = wit.token()
    accepted = wit_svid.accept(token, wit.proof(token), wit.bundle(), AUDIENCE, NOW)
    assert accepted.svid.id.uri == wit.subject
    forged = forge(wit.proof(token, **overrides(forge)), wit.workload_key.public_key())
    with pytest.raises(SpiffeError):
        wit_svid.accept(token, forged, wit.bundle(), AUDIENCE, NOW)


async def test_the_workload_api_finds_none_of_them_valid(tmp_path: Path) -> None:
    server = FakeServer(SystemClock())
    await server.start()
    server.add_entry("e1", "/w", MY_UID)
    try:
        async with RunningAgent(
            tmp_path, server, clock=SystemClock(), token=server.add_token()
        ) as agent:
            await agent.fetch()
            async with workload(agent.socket) as client:
                honest = server.ca.jwt(ID, ["a"])
                answer = await client.call("ValidateJWTSVID", audience="a", svid=honest)
                assert answer.spiffe_id == ID
                for forge in (endless, unsigned, keyed_with_pem, keyed_with_der):
                    token = server.ca.jwt(ID, ["a"], **overrides(forge))
                    forged = forge(token, server.ca.jwt_key.public_key())
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await client.call("ValidateJWTSVID", audience="a", svid=forged)
                    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, forge
    finally:
        await server.stop()


@FORGERIES
def test_an_agent_takes_none_of_them_from_its_server(forge: Forgery) -> None:
    """It does not verify the signature, whose key came from that same server: the rest it reads."""
    ca = FakeCa()
    assert jwt_svid.parse_unverified(ca.jwt(ID, ["a"])).id.uri == ID
    forged = forge(ca.jwt(ID, ["a"], **overrides(forge)), ca.jwt_key.public_key())
    with pytest.raises(SpiffeError):
        jwt_svid.parse_unverified(forged)
