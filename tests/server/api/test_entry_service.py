"""The Entry service's operators' calls, over the admin socket."""

from typing import Any

import grpc
import pytest

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2, entry_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.runtime.rpc import RpcError
from finial.server.api.bundle_codec import encode_bundle
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import ApiLab

CODES = {code.value[0]: code for code in grpc.StatusCode}
AGENT = {"trust_domain": "example.org", "path": "/spire/agent/x"}


def message(path: str = "/web", **fields: Any) -> types_pb2.Entry:
    """A sound entry, but for `fields`; None leaves a field out."""
    sound: dict[str, Any] = {
        "spiffe_id": {"trust_domain": "example.org", "path": path},
        "parent_id": AGENT,
        "selectors": [{"type": "unix", "value": "uid:1"}],
    }
    kept = {name: value for name, value in (sound | fields).items() if value is not None}
    return types_pb2.Entry(**kept)


async def create(
    lab: ApiLab, *entries: types_pb2.Entry, mask: types_pb2.EntryMask | None = None
) -> list[entry_pb2.BatchCreateEntryResponse.Result]:
    request = entry_pb2.BatchCreateEntryRequest(entries=entries, output_mask=mask)
    return list((await EntryStub(lab.local).BatchCreateEntry(request)).results)


async def update(
    lab: ApiLab, entry: types_pb2.Entry, **named: bool
) -> entry_pb2.BatchUpdateEntryResponse.Result:
    request = entry_pb2.BatchUpdateEntryRequest(entries=[entry])
    if named:
        request.input_mask.CopyFrom(types_pb2.EntryMask(**named))
    return (await EntryStub(lab.local).BatchUpdateEntry(request)).results[0]


async def count(lab: ApiLab, **wanted: Any) -> int:
    request = entry_pb2.CountEntriesRequest(filter=wanted)  # type: ignore[arg-type]
    return (await EntryStub(lab.local).CountEntries(request)).count


def said(result: Any) -> tuple[grpc.StatusCode, str]:
    return CODES[result.status.code], result.status.message


async def set_bundle(lab: ApiLab, name: str) -> None:
    request = bundle_pb2.BatchSetFederatedBundleRequest(
        bundle=[encode_bundle(FakeCa(name).bundle(), ())]
    )
    (result,) = (await BundleStub(lab.local).BatchSetFederatedBundle(request)).results
    assert said(result) == (grpc.StatusCode.OK, "OK")


# -- create --------------------------------------------------------------------------------


async def test_a_created_entry_is_returned_as_stored_and_found_at_once(lab: ApiLab) -> None:
    await set_bundle(lab, "other.org")
    wanted = message(
        x509_svid_ttl=60,
        jwt_svid_ttl=30,
        federates_with=["spiffe://other.org"],
        admin=True,
        downstream=True,
        expires_at=1_900_000_000,
        dns_names=["web.example.org", "*.web.example.org"],
        store_svid=True,
        hint="main",
        additional_attributes={"jwt_svid_include_jti": True},
    )
    (result,) = await create(lab, wanted)
    assert said(result) == (grpc.StatusCode.OK, "OK")
    made = result.entry
    assert made.id
    assert made.created_at == int(lab.clock.time())
    assert made.revision_number == 0
    wanted.id, wanted.created_at = made.id, made.created_at
    wanted.federates_with[:] = ["other.org"]
    assert made == wanted
    shown = await EntryStub(lab.local).GetEntry(entry_pb2.GetEntryRequest(id=made.id))
    assert shown == made


async def test_a_similar_entry_is_answered_with_the_one_that_exists(lab: ApiLab) -> None:
    first, second = await create(lab, message(hint="a"), message(hint="b"))
    (third,) = await create(lab, message(), mask=types_pb2.EntryMask(hint=True))
    assert said(first) == (grpc.StatusCode.OK, "OK")
    for again in (second, third):
        assert said(again) == (grpc.StatusCode.ALREADY_EXISTS, "similar entry already exists")
    assert second.entry == first.entry
    assert third.entry == types_pb2.Entry(id=first.entry.id, hint="a")


async def test_an_entry_id_of_ones_own_is_kept_and_unique(lab: ApiLab) -> None:
    (result, taken) = await create(lab, message(id="mine"), message("/other", id="mine"))
    assert result.entry.id == "mine"
    code, text = said(taken)
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert text.startswith("failed to create entry: ")
    assert not taken.HasField("entry")


FOREIGN = {"trust_domain": "o.org", "path": "/x"}
INVALID = {
    "no parent": ({"parent_id": None}, "invalid parent ID: request must specify SPIFFE ID"),
    "no ID": ({"spiffe_id": None}, "invalid spiffe ID: request must specify SPIFFE ID"),
    "parent without path": (
        {"parent_id": {"trust_domain": "example.org"}},
        (
            'invalid parent ID: "spiffe://example.org" is not a member of trust domain '
            '"example.org"; path is empty'
        ),
    ),
    "foreign parent": (
        {"parent_id": FOREIGN},
        'invalid parent ID: "spiffe://o.org/x" is not a member of trust domain "example.org"',
    ),
    "foreign ID": (
        {"spiffe_id": FOREIGN},
        'invalid spiffe ID: "spiffe://o.org/x" is not a member of trust domain "example.org"',
    ),
    "ID without path": (
        {"spiffe_id": {"trust_domain": "example.org"}},
        (
            'invalid spiffe ID: "spiffe://example.org" is not a workload in trust domain '
            '"example.org"; path is empty'
        ),
    ),
    "reserved ID": (
        {"spiffe_id": {"trust_domain": "example.org", "path": "/spire/x"}},
        (
            'invalid spiffe ID: "spiffe://example.org/spire/x" is not a workload in trust domain '
            '"example.org"; path is in the reserved namespace'
        ),
    ),
    "no selectors": ({"selectors": []}, "selector list is empty"),
    "selector type": ({"selectors": [{"value": "x"}]}, "missing selector type"),
    "selector colon": (
        {"selectors": [{"type": "a:b", "value": "x"}]},
        "selector type contains ':'",
    ),
    "selector value": ({"selectors": [{"type": "a"}]}, "missing selector value"),
    "DNS name": (
        {"dns_names": [""]},
        "invalid DNS name: empty or only whitespace",
    ),
    "hint": ({"hint": "x" * 1025}, "hint is too long, max length is 1024 characters"),
    "federation": (
        {"federates_with": ["NOT A DOMAIN"]},
        (
            "invalid federated trust domain: trust domain may hold only lower case letters, "
            "digits, dots, dashes and underscores"
        ),
    ),
}
UNSTORABLE = {
    "X.509 TTL": ({"x509_svid_ttl": -1}, "X509SvidTtl is not set"),
    "JWT TTL": ({"jwt_svid_ttl": -1}, "JwtSvidTtl is not set"),
    "long ID": ({"id": "x" * 256}, "entry ID too long"),
    "odd ID": ({"id": "a b"}, "entry ID contains invalid characters"),
    "store": (
        {
            "store_svid": True,
            "selectors": [{"type": "a", "value": "x"}, {"type": "b", "value": "x"}],
        },
        "selector types must be the same when store SVID is enabled",
    ),
}


@pytest.mark.parametrize(("fields", "text"), INVALID.values(), ids=INVALID)
async def test_an_entry_that_cannot_be_read_says_why_and_stops_no_other(
    lab: ApiLab, fields: dict[str, Any], text: str
) -> None:
    bad, good = await create(lab, message(**fields), message("/good"))
    assert said(bad) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"failed to convert entry: {text}",
    )
    assert said(good) == (grpc.StatusCode.OK, "OK")
    assert await count(lab) == 1


@pytest.mark.parametrize(("fields", "text"), UNSTORABLE.values(), ids=UNSTORABLE)
async def test_an_entry_that_no_store_keeps_says_why(
    lab: ApiLab, fields: dict[str, Any], text: str
) -> None:
    (bad,) = await create(lab, message(**fields))
    assert said(bad) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"failed to create entry: datastore-validation: invalid registration entry: {text}",
    )


async def test_federating_with_an_unknown_domain_is_refused(lab: ApiLab) -> None:
    (bad,) = await create(lab, message(federates_with=["nope.org"]))
    assert said(bad) == (
        grpc.StatusCode.INTERNAL,
        'failed to create entry: unable to find federated bundle "spiffe://nope.org"',
    )


async def test_an_empty_batch_is_answered_with_nothing(lab: ApiLab) -> None:
    assert await create(lab) == []


# -- update, delete, get -------------------------------------------------------------------


async def test_an_update_writes_what_its_mask_names_and_raises_the_revision(lab: ApiLab) -> None:
    (made,) = await create(lab, message(hint="old", x509_svid_ttl=5))
    changed = types_pb2.Entry(id=made.entry.id, hint="new", x509_svid_ttl=9, admin=True)
    result = await update(lab, changed, hint=True)
    assert said(result) == (grpc.StatusCode.OK, "OK")
    made.entry.hint, made.entry.revision_number = "new", 1
    assert result.entry == made.entry


async def test_an_update_without_mask_writes_every_field(lab: ApiLab) -> None:
    (made,) = await create(
        lab, message(hint="old", additional_attributes={"jwt_svid_include_jti": True})
    )
    result = await update(lab, message("/new", id=made.entry.id))
    assert result.entry.spiffe_id.path == "/new"
    assert result.entry.hint == ""
    assert not result.entry.additional_attributes.jwt_svid_include_jti
    bad = await update(lab, types_pb2.Entry(id=made.entry.id))
    assert said(bad)[1] == (
        "failed to convert entry: invalid parent ID: request must specify SPIFFE ID"
    )


async def test_the_attributes_are_updated_together(lab: ApiLab) -> None:
    (made,) = await create(lab, message())
    changed = types_pb2.Entry(
        id=made.entry.id,
        additional_attributes=types_pb2.Entry.AdditionalAttributes(disable_x509_svid_prefetch=True),
    )
    result = await update(lab, changed, additional_attributes=True)
    assert result.entry.additional_attributes.disable_x509_svid_prefetch


async def test_an_update_may_make_two_entries_alike(lab: ApiLab) -> None:
    _, second = await create(lab, message("/a"), message("/b"))
    result = await update(lab, message("/a", id=second.entry.id))
    assert said(result) == (grpc.StatusCode.OK, "OK")


@pytest.mark.parametrize("entry_id", ["", "unknown"])
async def test_an_unknown_entry_is_not_updated(lab: ApiLab, entry_id: str) -> None:
    result = await update(lab, message(id=entry_id))
    assert said(result) == (grpc.StatusCode.NOT_FOUND, "failed to update entry")


async def test_a_delete_answers_for_each_id(lab: ApiLab) -> None:
    (made,) = await create(lab, message())
    request = entry_pb2.BatchDeleteEntryRequest(ids=["", "unknown", made.entry.id, made.entry.id])
    results = (await EntryStub(lab.local).BatchDeleteEntry(request)).results
    assert [(result.id, *said(result)) for result in results] == [
        ("", grpc.StatusCode.INVALID_ARGUMENT, "missing entry ID"),
        ("unknown", grpc.StatusCode.NOT_FOUND, "entry not found"),
        (made.entry.id, grpc.StatusCode.OK, "OK"),
        (made.entry.id, grpc.StatusCode.NOT_FOUND, "entry not found"),
    ]


@pytest.mark.parametrize(
    ("entry_id", "code", "text"),
    [
        ("", grpc.StatusCode.INVALID_ARGUMENT, "missing ID"),
        ("unknown", grpc.StatusCode.NOT_FOUND, "entry not found"),
    ],
)
async def test_an_entry_must_be_named_and_known(
    lab: ApiLab, entry_id: str, code: grpc.StatusCode, text: str
) -> None:
    with pytest.raises(RpcError) as refused:
        await EntryStub(lab.local).GetEntry(entry_pb2.GetEntryRequest(id=entry_id))
    assert (refused.value.code(), refused.value.details()) == (code, text)


# -- list and count ------------------------------------------------------------------------


async def test_entries_are_filtered_by_everything_that_is_given(lab: ApiLab) -> None:
    one, two = {"type": "unix", "value": "uid:1"}, {"type": "unix", "value": "uid:2"}
    await create(
        lab,
        message("/a", selectors=[one], hint="h"),
        message("/b", selectors=[one, two], downstream=True),
        message("/c", selectors=[two], parent_id={"trust_domain": "example.org", "path": "/p"}),
    )
    exact, subset, superset, some = range(4)
    assert await count(lab) == 3
    assert await count(lab, by_spiffe_id={"trust_domain": "example.org", "path": "/a"}) == 1
    assert await count(lab, by_parent_id=AGENT) == 2
    assert await count(lab, by_selectors={"selectors": [one], "match": exact}) == 1
    assert await count(lab, by_selectors={"selectors": [one, two], "match": subset}) == 3
    assert await count(lab, by_selectors={"selectors": [two], "match": superset}) == 2
    assert await count(lab, by_selectors={"selectors": [one], "match": some}) == 2
    assert await count(lab, by_hint={"value": "h"}) == 1
    assert await count(lab, by_hint={"value": ""}) == 3
    assert await count(lab, by_downstream={"value": True}) == 1
    assert await count(lab, by_downstream={"value": False}) == 3
    assert await count(lab, by_parent_id=AGENT, by_downstream={"value": True}) == 1


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"by_spiffe_id": {}}, "malformed SPIFFE ID filter: request must specify SPIFFE ID"),
        (
            {"by_parent_id": {"trust_domain": "a", "path": "b"}},
            "malformed parent ID filter: path must have a leading slash",
        ),
        (
            {"by_spiffe_id": {"trust_domain": "other.org", "path": "/a"}},
            (
                'malformed SPIFFE ID filter: "spiffe://other.org/a" is not a member of '
                'trust domain "example.org"'
            ),
        ),
        (
            {"by_parent_id": {"trust_domain": "example.org"}},
            (
                'malformed parent ID filter: "spiffe://example.org" is not a member of '
                'trust domain "example.org"; path is empty'
            ),
        ),
        ({"by_selectors": {}}, "malformed selectors filter: empty selector set"),
        (
            {"by_selectors": {"selectors": [{}]}},
            "malformed selectors filter: missing selector type",
        ),
        ({"by_federates_with": {}}, "malformed federates with filter: empty trust domain set"),
        (
            {"by_selectors": {"selectors": [{"type": "a", "value": "b"}], "match": 9}},
            "unsupported match behavior 9",
        ),
    ],
)
async def test_a_malformed_filter_says_why(lab: ApiLab, wanted: dict[str, Any], text: str) -> None:
    stub = EntryStub(lab.local)
    for call, request in (
        (stub.CountEntries, entry_pb2.CountEntriesRequest(filter=wanted)),  # type: ignore[arg-type]
        (stub.ListEntries, entry_pb2.ListEntriesRequest(filter=wanted)),  # type: ignore[arg-type]
    ):
        with pytest.raises(RpcError) as refused:
            await call(request)  # type: ignore[arg-type]
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details() == text


async def test_a_walk_ends_with_an_empty_page(lab: ApiLab) -> None:
    await create(lab, *(message(f"/{number}") for number in range(5)))
    stub, token, paths = EntryStub(lab.local), "", []
    mask = types_pb2.EntryMask(spiffe_id=True)
    while True:
        request = entry_pb2.ListEntriesRequest(page_size=2, page_token=token, output_mask=mask)
        page = await stub.ListEntries(request)
        paths.append([entry.spiffe_id.path for entry in page.entries])
        assert not any(entry.HasField("parent_id") for entry in page.entries)
        token = page.next_page_token
        if not token:
            break
    assert paths == [["/0", "/1"], ["/2", "/3"], ["/4"], []]
    with pytest.raises(RpcError, match="could not parse token") as refused:
        await stub.ListEntries(entry_pb2.ListEntriesRequest(page_size=2, page_token="abc"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("size", "token"), [(0, "1"), (-1, "1"), (0, "abc")])
async def test_without_pages_a_token_means_nothing(lab: ApiLab, size: int, token: str) -> None:
    await create(lab, *(message(f"/{number}") for number in range(3)))
    request = entry_pb2.ListEntriesRequest(page_size=size, page_token=token)
    page = await EntryStub(lab.local).ListEntries(request)
    assert (len(page.entries), page.next_page_token) == (3, "")
