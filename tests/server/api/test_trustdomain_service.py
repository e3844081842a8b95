"""The TrustDomain service."""

from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2, trustdomain_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.trustdomain_pb2_grpc import TrustDomainStub
from finial.runtime.rpc import RpcError
from finial.server.api.bundle_codec import encode_bundle
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import ADMIN_ID, ApiLab

OTHER = TrustDomain("other.org")
CA = FakeCa("other.org")
URL = "https://other.org:8443/bundle?x=1"
Relationship = types_pb2.FederationRelationship
Mask = types_pb2.FederationRelationshipMask


def web(name: str = "other.org", **fields: Any) -> Relationship:
    wanted: dict[str, Any] = {
        "trust_domain": name,
        "bundle_endpoint_url": URL,
        "https_web": types_pb2.HTTPSWebProfile(),
    }
    return Relationship(**(wanted | fields))


def spiffe(name: str = "other.org", endpoint_id: str = "", **fields: Any) -> Relationship:
    wanted: dict[str, Any] = {
        "trust_domain": name,
        "bundle_endpoint_url": URL,
        "https_spiffe": types_pb2.HTTPSSPIFFEProfile(
            endpoint_spiffe_id=endpoint_id or f"spiffe://{name}/spire/server"
        ),
    }
    return Relationship(**(wanted | fields))


def stub(lab: ApiLab) -> Any:
    return TrustDomainStub(lab.local)


async def create(lab: ApiLab, *wanted: Relationship, mask: Mask | None = None) -> Sequence[Any]:
    request = trustdomain_pb2.BatchCreateFederationRelationshipRequest(
        federation_relationships=wanted, output_mask=mask
    )
    return list((await stub(lab).BatchCreateFederationRelationship(request)).results)


async def update(
    lab: ApiLab, *wanted: Relationship, mask: Mask | None = None, shown: Mask | None = None
) -> Sequence[Any]:
    request = trustdomain_pb2.BatchUpdateFederationRelationshipRequest(
        federation_relationships=wanted, input_mask=mask, output_mask=shown
    )
    return list((await stub(lab).BatchUpdateFederationRelationship(request)).results)


async def get(lab: ApiLab, name: str = "other.org", mask: Mask | None = None) -> Relationship:
    request = trustdomain_pb2.GetFederationRelationshipRequest(trust_domain=name, output_mask=mask)
    found: Relationship = await stub(lab).GetFederationRelationship(request)
    return found


async def listed(lab: ApiLab, **fields: Any) -> Any:
    request = trustdomain_pb2.ListFederationRelationshipsRequest(**fields)
    return await stub(lab).ListFederationRelationships(request)


def statuses(results: Sequence[Any]) -> list[tuple[int, str]]:
    return [(result.status.code, result.status.message) for result in results]


@pytest.mark.parametrize("wanted", [web(), spiffe()])
async def test_a_relationship_is_created_and_read(lab: ApiLab, wanted: Relationship) -> None:
    (result,) = await create(lab, wanted)
    assert (result.status.code, result.status.message) == (0, "OK")
    assert result.federation_relationship == wanted
    assert await get(lab) == wanted
    assert await get(lab, "spiffe://other.org") == wanted
    assert list((await listed(lab)).federation_relationships) == [wanted]


async def test_a_bundle_that_comes_along_is_stored_and_shown(lab: ApiLab) -> None:
    wanted = spiffe(trust_domain_bundle=encode_bundle(CA.bundle(), ()))
    (result,) = await create(lab, wanted)
    assert result.federation_relationship == wanted
    assert await get(lab) == wanted
    request = bundle_pb2.GetFederatedBundleRequest(trust_domain="other.org")
    assert await BundleStub(lab.local).GetFederatedBundle(request) == wanted.trust_domain_bundle


async def test_a_stored_bundle_is_shown_once_the_relationship_is_read(lab: ApiLab) -> None:
    await lab.bundles.put(CA.bundle())
    (result,) = await create(lab, web())
    assert not result.federation_relationship.HasField("trust_domain_bundle")
    shown = encode_bundle(CA.bundle(), ())
    assert (await get(lab)).trust_domain_bundle == shown
    (result,) = await update(lab, web())
    assert result.federation_relationship.trust_domain_bundle == shown


@pytest.mark.parametrize(
    ("mask", "fields"),
    [
        (Mask(), []),
        (Mask(bundle_endpoint_url=True), ["bundle_endpoint_url"]),
        (Mask(bundle_endpoint_profile=True), ["https_spiffe"]),
        (Mask(trust_domain_bundle=True), ["trust_domain_bundle"]),
    ],
)
async def test_only_what_the_mask_names_is_shown(
    lab: ApiLab, mask: Mask, fields: list[str]
) -> None:
    wanted = spiffe(trust_domain_bundle=encode_bundle(CA.bundle(), ()))
    answers = [(await create(lab, wanted, mask=mask))[0].federation_relationship]
    answers.append(await get(lab, mask=mask))
    answers += (await listed(lab, output_mask=mask)).federation_relationships
    answers.append((await update(lab, wanted, shown=mask))[0].federation_relationship)
    for answer in answers:
        assert [field.name for field, _ in answer.ListFields()] == ["trust_domain", *fields]


@pytest.mark.parametrize(
    ("wanted", "cause"),
    [
        (web(""), "failed to parse trust domain: trust domain is missing"),
        (web("A B"), "failed to parse trust domain: "),
        (
            web(bundle_endpoint_url="http://other.org"),
            "bundle endpoint URL must use the https scheme",
        ),
        (
            web(bundle_endpoint_url="https://u:p@other.org"),
            "bundle endpoint URL must not contain user info",
        ),
        (web(bundle_endpoint_url="https:///x"), "bundle endpoint URL must specify the host"),
        (web(bundle_endpoint_url=""), "bundle endpoint URL "),
        (web(https_web=None), "unsupported bundle endpoint profile type: <nil>"),
        (
            Relationship(
                trust_domain="other.org",
                bundle_endpoint_url=URL,
                https_spiffe=types_pb2.HTTPSSPIFFEProfile(),
            ),
            "failed to parse endpoint SPIFFE ID: cannot be empty",
        ),
        (spiffe(endpoint_id="other.org/x"), "failed to parse endpoint SPIFFE ID: "),
        (spiffe(endpoint_id="spiffe://other.org"), "a trust domain's own ID is no endpoint's"),
        (
            web(trust_domain_bundle=types_pb2.Bundle(trust_domain="third.org")),
            (
                'trust domain bundle ("third.org") must match the trust domain of the federation '
                'relationship ("other.org")'
            ),
        ),
        (
            web(trust_domain_bundle=types_pb2.Bundle()),
            "failed to parse bundle: invalid trust domain: trust domain is missing",
        ),
        (
            web(
                trust_domain_bundle=types_pb2.Bundle(
                    trust_domain="other.org",
                    x509_authorities=[types_pb2.X509Certificate(asn1=b"x")],
                )
            ),
            "failed to parse bundle: unable to parse X.509 authority: ",
        ),
    ],
)
async def test_a_malformed_relationship_is_neither_created_nor_put_in_place_of_another(
    lab: ApiLab, wanted: Relationship, cause: str
) -> None:
    start = f"failed to convert federation relationship: {cause}"
    (code, text), fine = statuses(await create(lab, wanted, web("fine.org")))
    assert (code, fine) == (3, (0, "OK"))
    assert text.startswith(start)
    ((code, text),) = statuses(await update(lab, wanted, mask=Mask()))
    assert code == 3
    assert text.startswith(start)
    assert list((await listed(lab)).federation_relationships) == [web("fine.org")]


async def test_our_own_trust_domain_has_no_relationship(lab: ApiLab) -> None:
    text = "unable to create federation relationship for server trust domain"
    assert statuses(await create(lab, web("example.org"))) == [(3, text)]


async def test_a_second_one_is_refused_in_the_words_of_spires_database(lab: ApiLab) -> None:
    text = (
        "failed to create federation relationship: datastore-sql: UNIQUE constraint failed: "
        "federated_trust_domains.trust_domain"
    )
    results = await create(lab, web(), spiffe(trust_domain_bundle=encode_bundle(CA.bundle(), ())))
    assert statuses(results) == [(0, "OK"), (13, text)]
    assert await get(lab) == web()


async def test_only_what_the_mask_names_is_written(lab: ApiLab) -> None:
    await create(lab, web())
    wanted = spiffe(
        bundle_endpoint_url="https://new/", trust_domain_bundle=encode_bundle(CA.bundle(), ())
    )
    await update(lab, wanted, mask=Mask())
    assert await get(lab) == web()
    await update(lab, wanted, mask=Mask(bundle_endpoint_url=True))
    assert await get(lab) == web(bundle_endpoint_url="https://new/")
    await update(lab, wanted, mask=Mask(bundle_endpoint_profile=True))
    assert await get(lab) == spiffe(bundle_endpoint_url="https://new/")
    await update(lab, wanted, mask=Mask(trust_domain_bundle=True))
    assert await get(lab) == wanted
    ((result),) = await update(lab, web())
    assert result.federation_relationship == web(trust_domain_bundle=wanted.trust_domain_bundle)


async def test_what_is_not_there_cannot_be_read_updated_or_deleted(lab: ApiLab) -> None:
    with pytest.raises(RpcError) as refused:
        await get(lab)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert refused.value.details() == "federation relationship does not exist"
    text = (
        "failed to update federation relationship: "
        "unable to fetch federation relationship: record not found"
    )
    assert statuses(await update(lab, web())) == [(13, text)]
    with pytest.raises(RpcError, match="failed to parse trust domain") as refused:
        await get(lab, "A B")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_each_deletion_has_an_outcome_and_the_bundle_stays(lab: ApiLab) -> None:
    await create(lab, web(trust_domain_bundle=encode_bundle(CA.bundle(), ())))
    names = ["spiffe://other.org", "other.org", "", "A B"]
    request = trustdomain_pb2.BatchDeleteFederationRelationshipRequest(trust_domains=names)
    results = (await stub(lab).BatchDeleteFederationRelationship(request)).results
    assert [(r.trust_domain, r.status.code) for r in results] == [
        ("other.org", 0),
        ("other.org", 5),
        ("", 3),
        ("A B", 3),
    ]
    texts = [result.status.message for result in results]
    assert texts[:3] == ["OK", "federation relationship not found", "missing trust domain"]
    assert texts[3].startswith("failed to parse trust domain: ")
    assert (await listed(lab)).federation_relationships == []
    assert await lab.bundles.get(OTHER) == CA.bundle()


async def test_a_walk_ends_with_an_empty_page(lab: ApiLab) -> None:
    names = ["a.org", "b.org", "c.org"]
    await create(lab, *(web(name) for name in names))
    token, pages = "", []
    while True:
        page = await listed(lab, page_size=2, page_token=token)
        pages.append([each.trust_domain for each in page.federation_relationships])
        token = page.next_page_token
        if not token:
            break
    assert pages == [["a.org", "b.org"], ["c.org"], []]
    with pytest.raises(RpcError, match="failed to list federation relationships: "):
        await listed(lab, page_size=2, page_token="x")
    everything = await listed(lab, page_token="x")
    assert len(everything.federation_relationships) == 3
    assert everything.next_page_token == ""


async def test_a_bundle_is_refreshed_when_the_call_returns(lab: ApiLab) -> None:
    request = trustdomain_pb2.RefreshBundleRequest(trust_domain="other.org")
    with pytest.raises(RpcError) as refused:
        await stub(lab).RefreshBundle(request)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert refused.value.details() == 'no relationship with trust domain "other.org"'
    await create(lab, web())
    with pytest.raises(RpcError) as refused:
        await stub(lab).RefreshBundle(request)
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert refused.value.details() == (
        "failed to refresh bundle: failed to fetch federated bundle from endpoint: "
        "connection refused"
    )
    lab.fetcher.served["other.org"] = CA.bundle()
    await stub(lab).RefreshBundle(request)
    wanted = bundle_pb2.GetFederatedBundleRequest(trust_domain="other.org")
    found = await BundleStub(lab.local).GetFederatedBundle(wanted)
    assert found == encode_bundle(CA.bundle(), ())
    with pytest.raises(RpcError, match="failed to parse trust domain"):
        await stub(lab).RefreshBundle(trustdomain_pb2.RefreshBundleRequest(trust_domain="A B"))


async def test_it_is_for_local_callers_and_administrators_alone(lab: ApiLab) -> None:
    agent = await lab.attest()
    request = trustdomain_pb2.ListFederationRelationshipsRequest()
    for channel in (lab.local, lab.connect(lab.ca.issue(ADMIN_ID))):
        await TrustDomainStub(channel).ListFederationRelationships(request)
    for channel in (agent.channel, lab.anonymous):
        with pytest.raises(RpcError, match="authorization denied"):
            await TrustDomainStub(channel).ListFederationRelationships(request)
