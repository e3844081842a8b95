import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finial.api.spire import types_pb2 as types
from tests.fakes.admin_api import FakeAdminApi, entry
from tests.fakes.program import Outcome

Run = Callable[..., Outcome]
WHOLE = "entry create -parentID spiffe://example.org/n1 -spiffeID spiffe://example.org/w"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("", "at least one selector is required"),
        ("-selector unix:uid:0", "a parent ID is required if the node flag is not set"),
        ("-selector a:b -node -federatesWith b.org", "node entries can not federate"),
        ("-selector a:b -node", "a SPIFFE ID is required"),
        ("-selector a:b -parentID spiffe://example.org/n1", "a SPIFFE ID is required"),
        (
            "-selector a:b -node -spiffeID spiffe://a.org/w -x509SVIDTTL=-1",
            "a positive x509-SVID TTL is required",
        ),
        (
            "-selector a:b -node -spiffeID spiffe://a.org/w -jwtSVIDTTL=-1",
            "a positive JWT-SVID TTL is required",
        ),
        ("-selector a:b -node -spiffeID foo", "scheme is missing or invalid"),
        ("-selector bad -node -spiffeID foo", "scheme is missing or invalid"),
        (
            "-selector bad -node -spiffeID spiffe://a.org/w",
            'selector "bad" must be formatted as type:value',
        ),
        (
            "-selector a:b -node -spiffeID spiffe://a.org/w -x509SVIDTTL 2147483648",
            "invalid value for X509 SVID TTL: overflow converting int(2147483648) to int32",
        ),
        (
            "-selector a:b -node -spiffeID spiffe://a.org/w -jwtSVIDTTL 2147483648",
            "invalid value for JWT SVID TTL: overflow converting int(2147483648) to int32",
        ),
        ("-data /no/such", "open /no/such: no such file or directory"),
    ],
)
def test_what_is_missing_or_malformed_is_refused_before_the_server_is_asked(
    run: Run, api: FakeAdminApi, flags: str, complaint: str
) -> None:
    outcome = run(f"entry create {flags}")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"Error: {complaint}\n")
    assert api.requests == []


def test_a_created_entry_is_shown(run: Run) -> None:
    outcome = run(f"{WHOLE} -selector unix:uid:0 -entryID e1")
    assert outcome == Outcome(
        0,
        "Entry ID                : e1\n"
        "SPIFFE ID               : spiffe://example.org/w\n"
        "Parent ID               : spiffe://example.org/n1\n"
        "Revision                : 0\n"
        "X509-SVID TTL           : default\n"
        "JWT-SVID TTL            : default\n"
        "Selector                : unix:uid:0\n"
        "\n",
        "",
    )


def test_every_flag_reaches_the_server(run: Run, api: FakeAdminApi) -> None:
    run(
        f"{WHOLE} -selector b:2 -selector a:1:x -x509SVIDTTL 70 -jwtSVIDTTL 80 -federatesWith "
        "spiffe://b.org -dns one.example -dns two.example -admin -downstream -entryExpiry "
        "1999999999 -entryID own -hint h -storeSVID -disableX509SVIDPrefetch"
    )
    [stored] = api.entries.values()
    assert stored == entry(
        id="own",
        selectors=[
            types.Selector(type="b", value="2"),
            types.Selector(type="a", value="1:x"),
        ],
        x509_svid_ttl=70,
        jwt_svid_ttl=80,
        federates_with=["spiffe://b.org"],
        dns_names=["one.example", "two.example"],
        admin=True,
        downstream=True,
        expires_at=1999999999,
        hint="h",
        store_svid=True,
        created_at=stored.created_at,
        additional_attributes=types.Entry.AdditionalAttributes(disable_x509_svid_prefetch=True),
    )


def test_without_its_flags_the_additional_attributes_stay_absent(
    run: Run, api: FakeAdminApi
) -> None:
    run(f"{WHOLE} -selector a:b")
    [stored] = api.entries.values()
    assert not stored.HasField("additional_attributes")


def test_the_parent_of_a_node_entry_is_the_server(run: Run, api: FakeAdminApi) -> None:
    run(f"{WHOLE} -selector a:b -node")
    [stored] = api.entries.values()
    assert stored.parent_id.path == "/spire/server"


def test_an_entry_that_fails_is_shown_on_stderr_as_it_was_asked_for(
    run: Run, api: FakeAdminApi
) -> None:
    api.entries["e1"] = entry(hint="the stored one")
    outcome = run(f"{WHOLE} -selector unix:uid:0")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.startswith(
        "Failed to create the following entry "
        '(code: AlreadyExists, msg: "similar entry already exists"):\n'
        "Entry ID                : (none)\n"
    )
    assert "the stored one" not in outcome.err
    assert outcome.err.endswith("\n\nError: failed to create one or more entries\n")


def test_json_tells_failed_entries_by_their_status_and_exits_0(run: Run, api: FakeAdminApi) -> None:
    api.entries["e1"] = entry(hint="the stored one")
    outcome = run(f"{WHOLE} -selector unix:uid:0 -output json")
    assert outcome.code == 0
    [result] = outcome.json["results"]
    assert result["status"] == {"code": 6, "message": "similar entry already exists"}
    assert result["entry"]["id"] == ""
    assert result["entry"]["hint"] == ""


def test_entries_are_read_from_standard_input(run: Run, api: FakeAdminApi) -> None:
    document = {"entries": [_item("a"), _item("b")]}
    outcome = run("entry create -data -", stdin=json.dumps(document))
    assert outcome.code == 0
    assert [each.spiffe_id.path for each in api.entries.values()] == ["/a", "/b"]


def test_a_long_file_is_sent_in_parts_and_told_as_a_whole(
    run: Run, api: FakeAdminApi, tmp_path: Path
) -> None:
    file = tmp_path / "entries.json"
    file.write_text(json.dumps({"entries": [_item(f"w{i}") for i in range(1201)]}))
    outcome = run(f"entry create -data {file} -output json")
    assert len(outcome.json["results"]) == 1201
    assert [len(request.entries) for request in api.requests] == [500, 500, 201]


def test_a_file_without_entries_answers_with_no_results(run: Run) -> None:
    assert run("entry create -data - -output json", stdin='{"what": 1}').out == '{"results":[]}\n'


def _item(name: str) -> dict[str, object]:
    return {
        "spiffe_id": f"spiffe://example.org/{name}",
        "parent_id": "spiffe://example.org/n1",
        "selectors": [{"type": "unix", "value": "uid:0"}],
    }
