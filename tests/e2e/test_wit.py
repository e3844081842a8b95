"""WIT-SVIDs from end to end: our server, our agent, a stock client, and a relying party."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import grpc
import jwt as pyjwt
import pytest

from finial.spiffe import wit_svid
from finial.spiffe.bundle import Bundle, WitAuthority
from finial.spiffe.jose.algorithm import ALGORITHMS
from finial.spiffe.public_key import from_jwk
from tests.fakes.grpcio import workload
from tests.fakes.lab import Lab, whole_lab
from tests.fakes.server_process import DOMAIN

SERVICE = "https://db.example.org/orders"


async def fetched(lab: Lab) -> tuple[Any, Bundle]:
    """A WIT-SVID as a workload gets it, and the bundle as a relying party does."""
    async with workload(lab.agent.socket) as client:
        (svid,) = (await client.call("FetchWITSVID")).svids
        document = json.loads((await client.call("FetchWITBundles")).bundles[DOMAIN.id.uri])
    keys = (WitAuthority.from_key(key["kid"], from_jwk(key)) for key in document["keys"])
    return svid, Bundle(DOMAIN, wit_authorities=tuple(keys))


def prove(svid: Any) -> str:
    """A proof of possession, made with nothing but what the workload was given."""
    key = pyjwt.PyJWK(json.loads(svid.wit_svid_key))
    algorithm = ALGORITHMS[json.loads(svid.wit_svid_key)["alg"]]
    return wit_svid.encode_proof(
        svid.wit_svid,
        SERVICE,
        proof_id="1",
        expires_at=int(time.time()) + 30,
        algorithm=algorithm.name,
        sign=lambda data: algorithm.sign(key.key, data),
    )


async def test_a_workload_proves_its_identity_with_its_wit_svid() -> None:
    async with whole_lab(flags='["wit-svid"]') as lab:
        svid, bundle = await fetched(lab)
        shown = wit_svid.accept(svid.wit_svid, prove(svid), bundle, SERVICE, time.time())
        assert shown.svid.id.uri == svid.spiffe_id == f"{DOMAIN.id.uri}/db"
        assert {each.key_id for each in bundle.wit_authorities} == {
            each.key_id for each in (await lab.bundle()).wit_authorities
        }
        said = lab.agent.log() + lab.server.log()
    secret = json.loads(svid.wit_svid_key)["d"]
    assert "WIT-SVIDs received" in said
    assert secret not in said
    assert svid.wit_svid not in said


async def test_by_itself_nobody_has_any() -> None:
    async with whole_lab() as lab, workload(lab.agent.socket) as client:
        code, _ = await client.refused("FetchWITSVID")
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert (await lab.bundle()).wit_authorities == ()
        minted = await lab.admin("wit mint", "-spiffeID", f"{DOMAIN.id.uri}/x")
        assert minted.code == 1
        assert "WIT functionality is disabled" in minted.err


async def test_switched_off_by_a_restart_of_the_server_they_leave_the_workloads() -> None:
    async with whole_lab(flags='["wit-svid"]') as lab, workload(lab.agent.socket) as client:
        stream = client.stream("FetchWITSVID")
        assert (await stream.read()).svids
        await lab.server.stop()
        lab.setting = replace(lab.setting, flags="[]")
        lab.write_server_config()
        await lab.server.start()
        assert (await lab.bundle()).wit_authorities == ()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
    assert ended.value.code() is grpc.StatusCode.UNIMPLEMENTED
