from collections.abc import Callable

import grpc
import pytest

from finial.api.spire import types_pb2 as types
from finial.server.cli.entry.blocks import entry_block
from tests.fakes.admin_api import FakeAdminApi, entry
from tests.fakes.program import Outcome

Run = Callable[..., Outcome]
WHOLE = "-selector a:b -parentID spiffe://example.org/n1 -spiffeID spiffe://example.org/w"


def test_a_block_leaves_out_what_is_not_set_and_names_what_is() -> None:
    full = entry(
        downstream=True,
        x509_svid_ttl=60,
        jwt_svid_ttl=70,
        expires_at=1999999999,
        federates_with=["b.org"],
        dns_names=["d"],
        admin=True,
        store_svid=True,
        hint="h",
        additional_attributes=types.Entry.AdditionalAttributes(
            disable_x509_svid_prefetch=True, jwt_svid_include_jti=True
        ),
    )
    labels = [line.split(":")[0].rstrip() for line in entry_block(full).splitlines()]
    assert labels == [
        "Entry ID",
        "SPIFFE ID",
        "Parent ID",
        "Revision",
        "Downstream",
        "X509-SVID TTL",
        "JWT-SVID TTL",
        "Expiration time",
        "Selector",
        "FederatesWith",
        "DNS name",
        "Admin",
        "StoreSvid",
        "Hint",
        "DisableX509SvidPrefetch",
        "JwtSvidIncludeJti",
        "",
    ]
    assert "X509-SVID TTL           : 60\n" in entry_block(full)


# -- update ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("", "entry ID is required"),
        ("-entryID e1", "at least one selector is required"),
        ("-entryID e1 -selector a:b", "a parent ID is required"),
        (f"-entryID e1 {WHOLE} -x509SVIDTTL=-4", "a positive x509-SVID TTL is required"),
    ],
)
def test_an_update_needs_its_flags(run: Run, flags: str, complaint: str) -> None:
    outcome = run(f"entry update {flags}")
    assert (outcome.code, outcome.err) == (1, f"Error: {complaint}\n")


def test_update_knows_no_node_flag(run: Run) -> None:
    assert run("entry update -node").err.startswith("flag provided but not defined: -node\n")


def test_an_update_replaces_every_field(run: Run, api: FakeAdminApi) -> None:
    api.entries["e1"] = entry(hint="h", admin=True)
    api.entries["e1"].additional_attributes.jwt_svid_include_jti = True
    outcome = run(f"entry update -entryID e1 {WHOLE}")
    assert outcome.code == 0
    assert "Revision                : 1\n" in outcome.out
    stored = api.entries["e1"]
    assert (stored.hint, stored.admin) == ("", False)
    assert not stored.HasField("additional_attributes")
    assert not api.requests[-1].HasField("input_mask")


def test_of_the_two_attributes_the_one_that_is_not_named_is_kept(
    run: Run, api: FakeAdminApi
) -> None:
    api.entries["e1"] = entry()
    api.entries["e1"].additional_attributes.jwt_svid_include_jti = True
    run(f"entry update -entryID e1 {WHOLE} -disableX509SVIDPrefetch")
    attributes = api.entries["e1"].additional_attributes
    assert (attributes.disable_x509_svid_prefetch, attributes.jwt_svid_include_jti) == (True, True)
    run(f"entry update -entryID e1 {WHOLE} -jwtSVIDIncludeJTI=false")
    attributes = api.entries["e1"].additional_attributes
    assert (attributes.disable_x509_svid_prefetch, attributes.jwt_svid_include_jti) == (True, False)


def test_an_entry_that_cannot_be_merged_is_told(run: Run) -> None:
    outcome = run(f"entry update -entryID no {WHOLE} -jwtSVIDIncludeJTI")
    assert (outcome.code, outcome.err) == (
        1,
        (
            "Error: failed to fetch existing entry to merge additional attributes: "
            "rpc error: code = NotFound desc = entry not found\n"
        ),
    )


def test_an_unknown_entry_cannot_be_updated(run: Run) -> None:
    outcome = run(f"entry update -entryID no {WHOLE}")
    assert outcome.code == 1
    assert outcome.err.startswith(
        'Failed to update the following entry (code: NotFound, msg: "failed to update entry"):\n'
        "Entry ID                : no\n"
    )
    assert outcome.err.endswith("Error: failed to update one or more entries\n")


# -- show and count ----------------------------------------------------------------------


def test_no_entries_are_shown_as_zero(run: Run) -> None:
    assert run("entry show").out == "Found 0 entries\n"
    assert run("entry show -output json").out == '{"entries":[],"next_page_token":""}\n'


def test_entries_are_sorted_by_id_then_parent_then_selectors(run: Run, api: FakeAdminApi) -> None:
    parent = types.SPIFFEID(trust_domain="example.org", path="/a")
    api.entries = {
        "1": entry("spiffe://example.org/b", id="1"),
        "2": entry("spiffe://example.org/a", id="2"),
        "3": entry("spiffe://example.org/a", id="3", selectors=[types.Selector(type="a")]),
        "4": entry("spiffe://example.org/a", id="4", parent_id=parent),
    }
    shown = run("entry show -output json").json["entries"]
    assert [each["id"] for each in shown] == ["4", "3", "2", "1"]
    assert run("entry show").out.startswith("Found 4 entries\nEntry ID                : 4\n")


def test_selectors_are_shown_sorted(run: Run, api: FakeAdminApi) -> None:
    chosen = [types.Selector(type=word[0], value=word[1:]) for word in ("b", "a2", "a1")]
    api.entries["e1"] = entry(selectors=chosen)
    (shown,) = run("entry show -entryID e1 -output json").json["entries"]
    assert [each["type"] + each["value"] for each in shown["selectors"]] == ["a1", "a2", "b"]


def test_all_pages_are_fetched(run: Run, api: FakeAdminApi) -> None:
    api.entries = {str(i): entry(f"spiffe://example.org/{i}", id=str(i)) for i in range(501)}
    assert run("entry show").out.startswith("Found 501 entries\n")
    assert [request.page_token for request in api.requests] == ["", "500", "501"]


def test_one_entry_is_shown_by_its_id(run: Run, api: FakeAdminApi) -> None:
    api.entries["e1"] = entry()
    assert run("entry show -entryID e1").out.startswith("Found 1 entry\nEntry ID   ")
    assert len(run("entry show -entryID e1 -output json").json["entries"]) == 1


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (
            "-entryID no",
            "error fetching entry ID no: rpc error: code = NotFound desc = entry not found",
        ),
        ("-entryID e -spiffeID x", "the -entryID flag can't be combined with others"),
        ("-entryID e -parentID x", "the -entryID flag can't be combined with others"),
        ("-entryID e -selector x", "the -entryID flag can't be combined with others"),
        ("-parentID xx", 'error parsing parent ID "xx": scheme is missing or invalid'),
        ("-spiffeID xx", 'error parsing SPIFFE ID "xx": scheme is missing or invalid'),
        (
            "-selector bad",
            'error parsing selectors: selector "bad" must be formatted as type:value',
        ),
        ("-selector a:b -matchSelectorsOn x", 'match behavior "x" unknown'),
        ("-federatesWith b.org -matchFederatesWithOn x", 'match behavior "x" unknown'),
    ],
)
def test_show_refuses_what_it_cannot_ask_for(run: Run, flags: str, complaint: str) -> None:
    outcome = run(f"entry show {flags}")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"Error: {complaint}\n")


def test_a_refused_list_says_what_was_tried(run: Run, api: FakeAdminApi) -> None:
    api.refuse["ListEntries"] = (grpc.StatusCode.INTERNAL, "no disk")
    assert run("entry show").err == (
        "Error: error fetching entries: rpc error: code = Internal desc = no disk\n"
    )


@pytest.mark.parametrize("command", ["show", "count"])
def test_filters_reach_the_server(run: Run, api: FakeAdminApi, command: str) -> None:
    run(
        f"entry {command} -spiffeID spiffe://a.org/w -parentID spiffe://a.org/n -selector a:b "
        "-matchSelectorsOn any -federatesWith b.org -matchFederatesWithOn subset -hint h "
        "-downstream"
    )
    wanted = api.requests[0].filter
    assert (wanted.by_spiffe_id.path, wanted.by_parent_id.path) == ("/w", "/n")
    assert wanted.by_selectors == types.SelectorMatch(
        selectors=[types.Selector(type="a", value="b")],
        match=types.SelectorMatch.MATCH_ANY,
    )
    assert wanted.by_federates_with == types.FederatesWithMatch(
        trust_domains=["b.org"], match=types.FederatesWithMatch.MATCH_SUBSET
    )
    assert wanted.by_hint.value == "h"
    assert wanted.by_downstream.value is True


def test_selectors_match_as_a_superset_and_nothing_else_is_filtered_by_default(
    run: Run, api: FakeAdminApi
) -> None:
    run("entry count -selector a:b -downstream=false")
    wanted = api.requests[0].filter
    assert wanted.by_selectors.match == types.SelectorMatch.MATCH_SUPERSET
    assert [field.name for field, _ in wanted.ListFields()] == ["by_selectors"]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 registration entries"), (1, "1 registration entry")]
)
def test_entries_are_counted(run: Run, api: FakeAdminApi, number: int, text: str) -> None:
    api.entries = {str(i): entry(id=str(i)) for i in range(number)}
    assert run("entry count").out == f"{text}\n"
    assert run("entry count -output json").json == {"count": number}


# -- delete ------------------------------------------------------------------------------


def test_an_entry_is_deleted(run: Run, api: FakeAdminApi) -> None:
    api.entries["e1"] = entry()
    assert run("entry delete -entryID e1") == Outcome(
        0, "Deleted entry with ID: e1\n\n\nDeleted 1 entries successfully\n", ""
    )


def test_what_could_not_be_deleted_is_told(run: Run, api: FakeAdminApi) -> None:
    assert run("entry delete -entryID no") == Outcome(
        1,
        "\n\nFailed to delete 1 entries\n",
        'Failed to delete entry with ID no (code: NotFound, msg: "entry not found")\n'
        "Error: failed to delete one or more entries\n",
    )
    api.entries["e1"] = entry()
    outcome = run("entry delete -file -", stdin='{"ids": ["e1", "no"]}')
    assert outcome.code == 1
    assert outcome.out.endswith("Deleted 1 entries successfully, but failed to delete 1 entries\n")


def test_json_tells_failed_deletions_by_their_status_and_exits_0(run: Run) -> None:
    outcome = run("entry delete -entryID no -output json")
    assert outcome.code == 0
    assert outcome.out == (
        '{"results":[{"id":"no","status":{"code":5,"message":"entry not found"}}]}\n'
    )


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("", "an entry ID is required"),
        ("-file /no/such", "open /no/such: no such file or directory"),
        ("-file -", "unexpected end of JSON input"),
    ],
)
def test_delete_needs_ids(run: Run, flags: str, complaint: str) -> None:
    outcome = run(f"entry delete {flags}")
    assert (outcome.code, outcome.err) == (1, f"Error: {complaint}\n")
