"""MintWITSVID and BatchNewWITSVID: what is ordered of the issuer, and what becomes of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2, svid_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.attestors.selector import Selector
from finial.runtime.rpc import RpcError
from finial.server.api.ratelimit import RateLimitSettings
from finial.server.issuance import IssueError, IssueErrorKind
from finial.server.registry.model import Entry
from finial.spiffe import wit_svid
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.server_api import ApiLab, Attested, open_lab

ID = types_pb2.SPIFFEID(trust_domain="example.org", path="/web")
INVALID = grpc.StatusCode.INVALID_ARGUMENT
Params = svid_pb2.NewWITSVIDParams


async def entry(lab: ApiLab, agent: Attested, **fields: Any) -> Entry:
    plain = Entry(
        spiffe_id=SpiffeId("spiffe://example.org/web"),
        parent_id=agent.id,
        selectors=(Selector("unix", "uid:1"),),
    )
    (made,) = await lab.entries.create_many([replace(plain, **fields)])
    assert isinstance(made, Entry)
    await lab.reader.caught_up()
    return made


def mint_request(**fields: Any) -> svid_pb2.MintWITSVIDRequest:
    known: dict[str, Any] = {"id": ID, "public_key": b"spki", "signing_algorithm": "ES256"}
    return svid_pb2.MintWITSVIDRequest(**(known | fields))


async def mint(lab: ApiLab, **fields: Any) -> types_pb2.WITSVID:
    return (await SVIDStub(lab.local).MintWITSVID(mint_request(**fields))).svid


async def batch(agent: Attested, *params: Params) -> list[tuple[int, str, types_pb2.WITSVID]]:
    request = svid_pb2.BatchNewWITSVIDRequest(params=params)
    results = (await SVIDStub(agent.channel).BatchNewWITSVID(request)).results
    return [(r.status.code, r.status.message, r.svid) for r in results]


# -- mint ----------------------------------------------------------------------------------


async def test_a_minted_svid_is_for_the_id_key_and_algorithm_asked_for(lab: ApiLab) -> None:
    svid = await mint(lab, ttl=60)
    now = int(lab.clock.time())
    assert (svid.id, svid.issued_at, svid.expires_at, svid.hint) == (ID, now, now + 60, "")
    assert wit_svid.parse_unverified(svid.token).id.uri == "spiffe://example.org/web"
    ((order,),) = lab.issuer.wit_calls
    assert (order.public_key, order.algorithm, order.ttl) == (b"spki", "ES256", 60)
    assert (order.entry_id, order.agent_id) == ("", "")


async def test_a_negative_lifetime_is_the_default(lab: ApiLab) -> None:
    await mint(lab, ttl=-5)
    assert lab.issuer.wit_calls[0][0].ttl == 0


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (None, "invalid SPIFFE ID: request must specify SPIFFE ID"),
        (("other.org", "/web"), "invalid SPIFFE ID: "),
        (("example.org", ""), "invalid SPIFFE ID: "),
        (("example.org", "/spire/server"), "invalid SPIFFE ID: "),
    ],
)
async def test_only_ids_of_workloads_are_minted(
    lab: ApiLab, wanted: tuple[str, str] | None, text: str
) -> None:
    found = types_pb2.SPIFFEID(trust_domain=wanted[0], path=wanted[1]) if wanted else None
    with pytest.raises(RpcError) as refused:
        await mint(lab, id=found)
    assert refused.value.code() is INVALID
    assert str(refused.value.details()).startswith(text)
    assert lab.issuer.wit_calls == []


@pytest.mark.parametrize(
    ("kind", "code", "minted", "batched"),
    [
        (
            IssueErrorKind.MALFORMED_KEY,
            INVALID,
            "invalid public key: why",
            "malformed public key: why",
        ),
        (
            IssueErrorKind.KEY_UNFIT,
            INVALID,
            "invalid signing algorithm or key type: why",
            "invalid signing algorithm or key type: why",
        ),
        (
            IssueErrorKind.REFUSED_BY_POLICY,
            INVALID,
            "refused by policy: why",
            "refused by policy: why",
        ),
        (
            IssueErrorKind.UNAVAILABLE,
            grpc.StatusCode.UNAVAILABLE,
            "failed to sign: why",
            "failed to sign: why",
        ),
    ],
)
async def test_a_refusal_is_worded_as_spires(
    lab: ApiLab, kind: IssueErrorKind, code: grpc.StatusCode, minted: str, batched: str
) -> None:
    lab.issuer.refusal = IssueError(kind, "why")
    with pytest.raises(RpcError) as refused:
        await mint(lab)
    assert (refused.value.code(), refused.value.details()) == (code, minted)
    lab.issuer.refusal = None
    agent = await lab.attest()
    made = await entry(lab, agent)
    lab.issuer.refusal = IssueError(kind, "why")
    ((number, text, _),) = await batch(agent, Params(entry_id=made.id, public_key=b"k"))
    assert (number, text) == (code.value[0], batched)


# -- batch ---------------------------------------------------------------------------------


async def test_an_agent_gets_svids_for_its_entries_in_the_order_of_its_request(
    lab: ApiLab,
) -> None:
    agent = await lab.attest()
    web = await entry(lab, agent, x509_svid_ttl=120, hint="the web")
    db = await entry(lab, agent, spiffe_id=SpiffeId("spiffe://example.org/db"))
    results = await batch(
        agent,
        Params(entry_id=db.id, public_key=b"k1", signing_algorithm="ES256"),
        Params(entry_id=web.id, public_key=b"k2", signing_algorithm="PS512"),
    )
    now = int(lab.clock.time())
    assert [(code, text) for code, text, _ in results] == [(0, "OK")] * 2
    assert [(s.id.path, s.hint, s.expires_at - now) for *_, s in results] == [
        ("/db", "", 3600),
        ("/web", "the web", 120),
    ]
    ((first, second),) = lab.issuer.wit_calls  # one order for all
    assert (first.public_key, first.algorithm, first.entry_id) == (b"k1", "ES256", db.id)
    assert (second.algorithm, second.agent_id, second.ttl) == ("PS512", agent.id.uri, 120)


async def test_what_is_wrong_with_one_item_is_said_of_that_item(lab: ApiLab) -> None:
    agent, other = await lab.attest(), await lab.attest()
    mine, theirs = await entry(lab, agent), await entry(lab, other)
    results = await batch(
        agent,
        Params(public_key=b"k"),
        Params(entry_id=mine.id),
        Params(entry_id=theirs.id, public_key=b"k"),
        Params(entry_id="nobody's", public_key=b"k"),
        Params(entry_id=mine.id, public_key=b"k", signing_algorithm="ES256"),
    )
    assert [(code, text) for code, text, _ in results] == [
        (3, "missing entry ID"),
        (3, "missing public key"),
        (5, "entry not found or not authorized"),
        (5, "entry not found or not authorized"),
        (0, "OK"),
    ]
    assert len(lab.issuer.wit_calls[0]) == 1


async def test_an_empty_batch_is_refused(lab: ApiLab) -> None:
    agent = await lab.attest()
    with pytest.raises(RpcError) as refused:
        await batch(agent)
    assert (refused.value.code(), refused.value.details()) == (INVALID, "missing parameters")


async def test_the_rate_is_limited_apart_from_that_of_certificates(tmp_path: Path) -> None:
    limits = RateLimitSettings(attestation=False, signing=True)
    async with open_lab(tmp_path, limits=limits) as lab:
        agent = await lab.attest()
        made = await entry(lab, agent)
        one = Params(entry_id=made.id, public_key=b"k")
        with pytest.raises(RpcError) as refused:
            await batch(agent, *([one] * 501))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "rate (501) exceeds burst size (500)" in str(refused.value.details())
        assert len(await batch(agent, *([one] * 500))) == 500


# -- who may, and whether at all -----------------------------------------------------------


async def test_an_agent_mints_nothing_and_an_operator_is_no_agent(lab: ApiLab) -> None:
    agent = await lab.attest()
    for call in (
        SVIDStub(agent.channel).MintWITSVID(mint_request()),
        SVIDStub(lab.anonymous).MintWITSVID(mint_request()),
        SVIDStub(lab.local).BatchNewWITSVID(svid_pb2.BatchNewWITSVIDRequest(params=[Params()])),
        SVIDStub(lab.anonymous).BatchNewWITSVID(svid_pb2.BatchNewWITSVIDRequest()),
    ):
        with pytest.raises(RpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert lab.issuer.wit_calls == []


async def test_switched_off_both_calls_are_unimplemented(tmp_path: Path) -> None:
    async with open_lab(tmp_path, wit_enabled=False) as lab:
        agent = await lab.attest()
        with pytest.raises(RpcError) as minting:
            await mint(lab)
        with pytest.raises(RpcError) as asking:
            await batch(agent, Params(entry_id="e", public_key=b"k"))
        for refused in (minting, asking):
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert refused.value.details() == "WIT functionality is disabled"
        assert lab.issuer.wit_calls == []


async def test_a_wit_key_under_the_id_of_a_jwt_key_is_not_appended(lab: ApiLab) -> None:
    (jwt,) = lab.ca.bundle().jwt_authorities
    key = types_pb2.WITKey(public_key=jwt.spki_der, key_id=jwt.key_id)
    stub = BundleStub(lab.local)
    with pytest.raises(RpcError) as refused:
        await stub.AppendBundle(bundle_pb2.AppendBundleRequest(wit_authorities=[key]))
    assert refused.value.code() is INVALID
    assert f'key ID "{jwt.key_id}" is in use' in str(refused.value.details())
    key.key_id = "another"
    bundle = await stub.AppendBundle(bundle_pb2.AppendBundleRequest(wit_authorities=[key]))
    assert [each.key_id for each in bundle.wit_authorities] == ["another"]
