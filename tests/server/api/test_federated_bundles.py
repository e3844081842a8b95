"""The Bundle service's batches on other domains' bundles, and what nested servers publish."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.runtime.rpc import RpcError
from finial.server.api.bundle_codec import encode_bundle
from finial.server.registry.model import Entry
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import ApiLab, open_lab
from tests.server.registry.examples import entry

CA = FakeCa("other.org")
NESTED = SpiffeId("spiffe://example.org/nested")
_Delete = bundle_pb2.BatchDeleteFederatedBundleRequest


def other(**fields: Any) -> types_pb2.Bundle:
    return encode_bundle(CA.bundle(**fields), ())


def stub(lab: ApiLab) -> Any:
    return BundleStub(lab.local)


async def stored(lab: ApiLab, name: str = "other.org") -> types_pb2.Bundle:
    request = bundle_pb2.GetFederatedBundleRequest(trust_domain=name)
    found: types_pb2.Bundle = await stub(lab).GetFederatedBundle(request)
    return found


async def create(lab: ApiLab, *bundles: types_pb2.Bundle, **fields: Any) -> Sequence[Any]:
    request = bundle_pb2.BatchCreateFederatedBundleRequest(bundle=bundles, **fields)
    return list((await stub(lab).BatchCreateFederatedBundle(request)).results)


async def update(lab: ApiLab, *bundles: types_pb2.Bundle, **fields: Any) -> Sequence[Any]:
    request = bundle_pb2.BatchUpdateFederatedBundleRequest(bundle=bundles, **fields)
    return list((await stub(lab).BatchUpdateFederatedBundle(request)).results)


async def delete(lab: ApiLab, *names: str, mode: Any = _Delete.RESTRICT) -> list[tuple[int, str]]:
    request = _Delete(trust_domains=names, mode=mode)
    results = (await stub(lab).BatchDeleteFederatedBundle(request)).results
    assert [result.trust_domain for result in results] == list(names)
    return statuses(results)


def statuses(results: Sequence[Any]) -> list[tuple[int, str]]:
    return [(result.status.code, result.status.message) for result in results]


async def test_a_bundle_is_created_once_and_masked(lab: ApiLab) -> None:
    mask = types_pb2.BundleMask(sequence_number=True)
    results = await create(lab, other(sequence=7), other(sequence=8), output_mask=mask)
    assert statuses(results) == [(0, "OK"), (6, "bundle already exists")]
    assert results[0].bundle == types_pb2.Bundle(trust_domain="other.org", sequence_number=7)
    assert not results[1].HasField("bundle")
    assert await stored(lab) == other(sequence=7)


async def test_only_what_the_mask_names_is_updated(lab: ApiLab) -> None:
    await create(lab, other())
    new = encode_bundle(FakeCa("other.org").bundle(sequence=9, refresh_hint=60), ())
    (result,) = await update(lab, new, input_mask=types_pb2.BundleMask())
    assert result.bundle == await stored(lab) == other()
    (result,) = await update(lab, new, input_mask=types_pb2.BundleMask(sequence_number=True))
    assert result.bundle == await stored(lab) == other(sequence=9)
    shown = types_pb2.BundleMask(refresh_hint=True)
    (result,) = await update(lab, new, output_mask=shown)
    assert result.bundle == types_pb2.Bundle(trust_domain="other.org", refresh_hint=60)
    assert await stored(lab) == new
    results = await update(lab, types_pb2.Bundle(trust_domain="third.org"))
    assert statuses(results) == [(5, "bundle not found")]


@pytest.mark.parametrize(("call", "verb"), [(create, "creating"), (update, "updating")])
async def test_a_bundle_that_cannot_be_stored_says_why(lab: ApiLab, call: Any, verb: str) -> None:
    bad = types_pb2.Bundle(
        trust_domain="other.org", x509_authorities=[types_pb2.X509Certificate(asn1=b"x")]
    )
    results = await call(
        lab, types_pb2.Bundle(trust_domain="A B"), encode_bundle(lab.ca.bundle(), ()), bad
    )
    (first, own, third) = statuses(results)
    assert (first[0], own[0], third[0]) == (3, 3, 3)
    assert first[1].startswith("trust domain argument is not valid: ")
    assert own[1] == f"{verb} a federated bundle for the server's own trust domain is not allowed"
    assert third[1].startswith("failed to convert bundle: unable to parse X.509 authority: ")


async def federating(lab: ApiLab) -> None:
    await create(lab, other())
    wanted = replace(entry("web"), federates_with=("other.org",), id="web")
    await lab.entries.create_many([wanted])
    await lab.reader.caught_up()


async def test_a_bundle_that_entries_federate_with_is_not_deleted_by_default(lab: ApiLab) -> None:
    await federating(lab)
    text = (
        "failed to delete federated bundle: datastore-sql: cannot delete bundle; "
        "federated with 1 registration entries"
    )
    assert await delete(lab, "other.org") == [(9, text)]
    assert await stored(lab) == other()


@pytest.mark.parametrize(("mode", "kept"), [(_Delete.DELETE, 0), (_Delete.DISSOCIATE, 1)])
async def test_what_becomes_of_the_entries_is_as_the_mode_says(
    lab: ApiLab, mode: Any, kept: int
) -> None:
    await federating(lab)
    assert await delete(lab, "spiffe://other.org", mode=mode) == [(0, "OK")]
    assert len(lab.reader.entries) == kept
    if kept:
        found = lab.reader.entries.get("web")
        assert isinstance(found, Entry)
        assert (found.federates_with, found.revision_number) == ((), 1)
    with pytest.raises(RpcError, match="bundle not found"):
        await stored(lab)


async def test_a_deletion_that_is_refused_says_why(lab: ApiLab) -> None:
    own, unknown, bad = await delete(lab, "example.org", "none.org", "A B")
    assert own == (3, "removing the bundle for the server trust domain is not allowed")
    assert unknown == (5, "bundle not found")
    assert bad[0] == 3
    assert bad[1].startswith("trust domain argument is not valid: ")
    with pytest.raises(RpcError, match="failed to parse deletion mode") as refused:
        await delete(lab, "other.org", mode=7)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def nested(lab: ApiLab) -> Any:
    """The Bundle service as a downstream server sees it."""
    await lab.entries.create_many([replace(entry(), spiffe_id=NESTED, downstream=True, id="n")])
    await lab.reader.caught_up()
    return BundleStub(lab.connect(lab.ca.issue(NESTED.uri)))


def published(key_id: str = "nested", expires_at: int = 5) -> types_pb2.JWTKey:
    (key,) = FakeCa(key_id=key_id).bundle().jwt_authorities
    return types_pb2.JWTKey(public_key=key.spki_der, key_id=key_id, expires_at=expires_at)


async def test_a_downstream_servers_key_is_published_with_its_end(lab: ApiLab) -> None:
    downstream, key = await nested(lab), published()
    own = list(encode_bundle(lab.ca.bundle(), ()).jwt_authorities)
    for _ in range(2):
        answer = await downstream.PublishJWTAuthority(
            bundle_pb2.PublishJWTAuthorityRequest(jwt_authority=key)
        )
        assert list(answer.jwt_authorities) == [*own, key]
        bundle = await BundleStub(lab.anonymous).GetBundle(bundle_pb2.GetBundleRequest())
        assert (list(bundle.jwt_authorities), bundle.sequence_number) == ([*own, key], 2)


async def test_a_key_id_of_another_key_is_refused(lab: ApiLab) -> None:
    downstream = await nested(lab)
    request = bundle_pb2.PublishJWTAuthorityRequest(jwt_authority=published(lab.ca.key_id))
    with pytest.raises(RpcError, match="is in use for another key") as refused:
        await downstream.PublishJWTAuthority(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await lab.bundles.get(lab.ca.trust_domain) == lab.ca.bundle()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "missing JWT authority"),
        ({"jwt_authority": {"public_key": b"x", "key_id": "k"}}, "invalid JWT authority: "),
        ({"jwt_authority": {"key_id": ""}}, "invalid JWT authority: "),
    ],
)
async def test_what_is_no_key_is_not_published(
    lab: ApiLab, fields: dict[str, Any], text: str
) -> None:
    downstream = await nested(lab)
    with pytest.raises(RpcError) as refused:
        await downstream.PublishJWTAuthority(bundle_pb2.PublishJWTAuthorityRequest(**fields))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(text)


async def test_only_a_downstream_server_publishes_and_only_while_it_is_one(lab: ApiLab) -> None:
    request = bundle_pb2.PublishJWTAuthorityRequest(jwt_authority=published())
    agent, downstream = await lab.attest(), await nested(lab)
    for refused in (stub(lab), BundleStub(lab.anonymous), BundleStub(agent.channel)):
        with pytest.raises(RpcError, match="authorization denied"):
            await refused.PublishJWTAuthority(request)
    await lab.entries.delete_many(["n"])
    await lab.reader.caught_up()
    with pytest.raises(RpcError, match="authorization denied"):
        await downstream.PublishJWTAuthority(request)
    assert await lab.bundles.get(lab.ca.trust_domain) == lab.ca.bundle()


async def test_a_downstream_servers_wit_key_is_published_where_there_are_wit_svids(
    lab: ApiLab,
) -> None:
    downstream, key = await nested(lab), published()
    wit = types_pb2.WITKey(public_key=key.public_key, key_id="w", expires_at=5)
    answer = await downstream.PublishWITAuthority(
        bundle_pb2.PublishWITAuthorityRequest(wit_authority=wit)
    )
    assert list(answer.wit_authorities) == [wit]
    bundle = await lab.bundles.get(lab.ca.trust_domain)
    assert bundle is not None
    assert [each.key_id for each in bundle.wit_authorities] == ["w"]


async def test_no_wit_key_is_published_where_there_are_no_wit_svids(tmp_path: Any) -> None:
    async with open_lab(tmp_path, wit_enabled=False) as lab:
        downstream = await nested(lab)
        with pytest.raises(RpcError) as refused:
            await downstream.PublishWITAuthority(bundle_pb2.PublishWITAuthorityRequest())
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_pages_hold_each_bundle_once_while_bundles_come_and_go(lab: ApiLab) -> None:
    names = [f"o{number}.org" for number in range(4)]
    await create(lab, *(encode_bundle(FakeCa(name).bundle(), ()) for name in names))
    request = bundle_pb2.ListFederatedBundlesRequest(page_size=3)
    first = await stub(lab).ListFederatedBundles(request)
    await delete(lab, "o0.org", "o1.org")
    await create(lab, encode_bundle(FakeCa("o0.org").bundle(), ()))
    await update(lab, encode_bundle(FakeCa("o2.org").bundle(sequence=5), ()))
    request.page_token = first.next_page_token
    second = await stub(lab).ListFederatedBundles(request)
    found = [bundle.trust_domain for bundle in (*first.bundles, *second.bundles)]
    assert found == ["o0.org", "o1.org", "o2.org", "o3.org", "o0.org"]
