"""The Bundle service."""

from typing import Any

import grpc
import pytest

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.runtime.rpc import RpcError
from finial.server.api.bundle_codec import encode_bundle
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import ADMIN_ID, ApiLab


async def own(lab: ApiLab, mask: types_pb2.BundleMask | None = None) -> types_pb2.Bundle:
    return await BundleStub(lab.anonymous).GetBundle(bundle_pb2.GetBundleRequest(output_mask=mask))


async def put(lab: ApiLab, *bundles: types_pb2.Bundle) -> list[tuple[int, str]]:
    request = bundle_pb2.BatchSetFederatedBundleRequest(bundle=bundles)
    results = (await BundleStub(lab.local).BatchSetFederatedBundle(request)).results
    return [(result.status.code, result.status.message) for result in results]


async def test_anybody_may_have_the_bundle(lab: ApiLab) -> None:
    bundle = await own(lab)
    assert bundle.trust_domain == "example.org"
    assert [each.asn1 for each in bundle.x509_authorities] == [lab.ca.der]
    assert [each.key_id for each in bundle.jwt_authorities] == [lab.ca.key_id]
    assert (bundle.sequence_number, bundle.refresh_hint) == (1, 300)


async def test_the_bundle_is_masked(lab: ApiLab) -> None:
    mask = types_pb2.BundleMask(sequence_number=True)
    assert await own(lab, mask) == types_pb2.Bundle(trust_domain="example.org", sequence_number=1)
    assert len((await own(lab)).x509_authorities) == 1


async def test_an_appended_authority_is_in_the_bundle_at_once_and_once(lab: ApiLab) -> None:
    other = FakeCa(key_id="other")
    new = encode_bundle(other.bundle(), ())
    request = bundle_pb2.AppendBundleRequest(
        x509_authorities=new.x509_authorities, jwt_authorities=new.jwt_authorities
    )
    for _ in range(2):
        await BundleStub(lab.local).AppendBundle(request)
        bundle = await own(lab)
        assert [each.asn1 for each in bundle.x509_authorities] == [lab.ca.der, other.der]
        assert [each.key_id for each in bundle.jwt_authorities] == [lab.ca.key_id, "other"]
        assert bundle.sequence_number == 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "no authorities to append"),
        ({"x509_authorities": [{"asn1": b"x"}]}, "failed to convert X.509 authority: "),
        (
            {"jwt_authorities": [{"public_key": b"x", "key_id": "k"}]},
            "failed to convert JWT authority: ",
        ),
        ({"jwt_authorities": [{"public_key": b"x"}]}, "failed to convert JWT authority: "),
    ],
)
async def test_an_authority_that_cannot_be_read_is_not_appended(
    lab: ApiLab, fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await BundleStub(lab.local).AppendBundle(bundle_pb2.AppendBundleRequest(**fields))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(text)
    assert (await own(lab)).sequence_number == 1


async def test_a_federated_bundle_is_set_and_read(lab: ApiLab) -> None:
    wanted = encode_bundle(FakeCa("other.org").bundle(sequence=7), ())
    assert await put(lab, wanted) == [(0, "OK")]
    agent = await lab.attest()
    admin = lab.connect(lab.ca.issue(ADMIN_ID))
    request = bundle_pb2.GetFederatedBundleRequest(trust_domain="other.org")
    for channel in (lab.local, agent.channel, admin):
        assert await BundleStub(channel).GetFederatedBundle(request) == wanted
    with pytest.raises(RpcError, match="authorization denied"):
        await BundleStub(lab.anonymous).GetFederatedBundle(request)
    newer = encode_bundle(FakeCa("other.org").bundle(sequence=8), ())
    assert await put(lab, newer) == [(0, "OK")]
    assert await BundleStub(agent.channel).GetFederatedBundle(request) == newer
    count = bundle_pb2.CountBundlesRequest()
    assert (await BundleStub(lab.local).CountBundles(count)).count == 2


async def test_bundles_that_cannot_be_set_say_why(lab: ApiLab) -> None:
    bad = types_pb2.Bundle(
        trust_domain="other.org", x509_authorities=[types_pb2.X509Certificate(asn1=b"x")]
    )
    results = await put(
        lab,
        types_pb2.Bundle(trust_domain="A B"),
        encode_bundle(lab.ca.bundle(), ()),
        bad,
        types_pb2.Bundle(trust_domain="other.org", refresh_hint=-1),
    )
    assert [code for code, _ in results] == [3] * 4
    texts = [text for _, text in results]
    assert texts[0].startswith("trust domain argument is not valid: ")
    assert texts[1] == "setting a federated bundle for the server's own trust domain is not allowed"
    assert texts[2].startswith("failed to convert bundle: unable to parse X.509 authority: ")


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        (
            "example.org",
            grpc.StatusCode.INVALID_ARGUMENT,
            "getting a federated bundle for the server's own trust domain is not allowed",
        ),
        ("nope.org", grpc.StatusCode.NOT_FOUND, "bundle not found"),
        (
            "",
            grpc.StatusCode.INVALID_ARGUMENT,
            "trust domain argument is not valid: trust domain is missing",
        ),
    ],
)
async def test_a_federated_bundle_must_be_anothers_and_known(
    lab: ApiLab, name: str, code: grpc.StatusCode, text: str
) -> None:
    request = bundle_pb2.GetFederatedBundleRequest(trust_domain=name)
    with pytest.raises(RpcError) as refused:
        await BundleStub(lab.local).GetFederatedBundle(request)
    assert (refused.value.code(), refused.value.details()) == (code, text)


async def test_a_walk_over_federated_bundles_leaves_out_our_own(lab: ApiLab) -> None:
    await put(lab, *(encode_bundle(FakeCa(f"o{n}.org").bundle(), ()) for n in range(3)))
    stub, token, names = BundleStub(lab.local), "", []
    while True:
        request = bundle_pb2.ListFederatedBundlesRequest(page_size=2, page_token=token)
        page = await stub.ListFederatedBundles(request)
        names.append([bundle.trust_domain for bundle in page.bundles])
        token = page.next_page_token
        if not token:
            break
    assert names == [["o0.org"], ["o1.org", "o2.org"], []]
    everything = await stub.ListFederatedBundles(bundle_pb2.ListFederatedBundlesRequest())
    assert len(everything.bundles) == 3
    with pytest.raises(RpcError, match="could not parse token"):
        await stub.ListFederatedBundles(
            bundle_pb2.ListFederatedBundlesRequest(page_token="x", page_size=1)
        )


async def test_a_root_that_is_taken_out_counts_on_open_connections(lab: ApiLab) -> None:
    agent = await lab.attest()
    request = bundle_pb2.GetFederatedBundleRequest(trust_domain="other.org")
    with pytest.raises(RpcError, match="bundle not found"):
        await BundleStub(agent.channel).GetFederatedBundle(request)
    (old,) = lab.ca.bundle().x509_authorities
    await lab.bundles.append(lab.ca.trust_domain, FakeCa().bundle().x509_authorities)
    await lab.bundles.remove(lab.ca.trust_domain, [old.authority_id])
    await lab.reader.caught_up()
    with pytest.raises(RpcError, match="no longer in the bundle") as refused:
        await BundleStub(agent.channel).GetFederatedBundle(request)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
