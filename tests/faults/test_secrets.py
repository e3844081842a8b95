"""Whatever happens, and however much is logged: no secret is in it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from finial.runtime.rpc import RpcError
from tests.fakes.grpcio import workload
from tests.fakes.lab import whole_lab
from tests.fakes.server_api import attest_with, csr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.lab import Lab


async def test_no_secret_is_in_any_log_at_the_finest_level() -> None:
    async with whole_lab(log_level="trace") as lab:
        unused = await lab.token()
        spent = lab.agent_id.rpartition("/")[2]
        secrets = [unused, "never-made-0f2a", *await documents(lab)]
        await failures(lab, "never-made-0f2a", spent)
        await lab.agent.stop()
        await lab.agent.start()
        await lab.serving("/db")
        await lab.server.stop()
        keys = [*agent_keys(lab), *authority_keys(lab)]
        assert len(keys) >= 3
        logs = lab.agent.log() + lab.server.log()
        found = [each for each in secrets if each in logs]
        found += [form for key in keys for form in forms(key) if form in logs]
        assert found == []
        # Once spent a token is part of the agent's SPIFFE ID, as the standard method has it.
        assert logs.count(spent) == logs.count(f"/spire/agent/join_token/{spent}") > 0


async def documents(lab: Lab) -> list[str]:
    """Secrets that a workload and an operator are given: tokens, and keys in several forms."""
    async with workload(lab.agent.socket) as client:
        svid = (await client.call("FetchX509SVID")).svids[0]
        token = (await client.call("FetchJWTSVID", audience=["them"])).svids[0].svid
        await client.call("ValidateJWTSVID", audience="them", svid=token)
        refused = await client.refused("ValidateJWTSVID", audience="others", svid=token)
        assert refused[0] is grpc.StatusCode.INVALID_ARGUMENT
    minted = await lab.mint_token("/m")
    command = await lab.admin(
        "jwt mint", "-spiffeID", "spiffe://example.org/c", "-audience", "them"
    )
    tokens = [token, minted, command.out.strip()]
    signatures = [each.rpartition(".")[2] for each in tokens]
    assert all(signatures)
    return [*tokens, *signatures, *forms(svid.x509_svid_key)]


async def failures(lab: Lab, no_token: str, spent: str) -> None:
    """Evidence that is refused: a token that never was, and one that was used."""
    nobody = lab.reach.connect(await lab.bundle())
    for token in (no_token, spent):
        with pytest.raises(RpcError):
            await attest_with(nobody, token, csr())
    await nobody.close()


def agent_keys(lab: Lab) -> Iterator[bytes]:
    kept = json.loads((lab.agent_data / "keys.json").read_text())["keys"]
    yield from map(base64.b64decode, kept.values())


def authority_keys(lab: Lab) -> Iterator[bytes]:
    for each in json.loads(lab.keys.read_text())["authorities"]:
        yield base64.b64decode(each["private_key"])


def forms(pkcs8: bytes) -> list[str]:
    """A private key as a log line could hold it."""
    key = load_der_private_key(pkcs8, None)
    assert isinstance(key, EllipticCurvePrivateKey)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    number = key.private_numbers().private_value
    middle = pkcs8[36:60]  # within the private value
    return [
        *pem.splitlines()[1:-1],
        pkcs8.hex(),
        base64.b64encode(pkcs8).decode(),
        f"{number:x}",
        str(number),
        base64.urlsafe_b64encode(number.to_bytes(32, "big")).decode().rstrip("="),
        repr(middle)[2:-1],
    ]
