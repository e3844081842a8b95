from collections.abc import Callable

import pytest

from finial.api.spire import types_pb2 as types
from tests.fakes.admin_api import FakeAdminApi, agent
from tests.fakes.program import Outcome

Run = Callable[..., Outcome]
T1 = "spiffe://example.org/spire/agent/join_token/t1"


@pytest.fixture
def one(api: FakeAdminApi) -> types.Agent:
    api.agents["/spire/agent/join_token/t1"] = agent()
    return api.agents["/spire/agent/join_token/t1"]


def test_without_agents_the_list_says_so(run: Run) -> None:
    assert run("agent list") == Outcome(0, "No attested agents found\n", "")
    assert run("agent list -output json").out == '{"agents":[],"next_page_token":""}\n'


def test_agents_are_listed_as_blocks(run: Run, one: types.Agent) -> None:
    one.agent_version = "0.1"
    lines = run("agent list").out.splitlines()
    assert lines[:4] == [
        "Found 1 attested agent:",
        "",
        f"SPIFFE ID         : {T1}",
        "Attestation type  : join_token",
    ]
    assert lines[4].startswith("Expiration time   : 2027-01-15 ")
    assert lines[5:] == [
        "Serial number     : 4711",
        "Can re-attest     : false",
        "Agent version     : 0.1",
        "",
    ]


def test_a_banned_agent_shows_that_in_place_of_its_serial(run: Run, one: types.Agent) -> None:
    one.banned = True
    out = run("agent list").out
    assert "Banned            : true\n" in out
    assert "Serial number" not in out


def test_all_pages_are_fetched(run: Run, api: FakeAdminApi) -> None:
    api.agents = {str(i): agent(f"/spire/agent/x/{i}") for i in range(1001)}
    assert run("agent list").out.startswith("Found 1001 attested agents:\n")


def test_one_agent_is_shown_with_its_selectors(run: Run, one: types.Agent) -> None:
    one.selectors.add(type="a", value="b")
    out = run(f"agent show -spiffeID {T1}").out
    assert out.startswith("Found an attested agent given its SPIFFE ID\n\nSPIFFE ID         : ")
    assert out.endswith("\n\nSelectors         : a:b\n")
    shown = run(f"agent show -spiffeID {T1} -output json").json
    assert shown["id"]["path"] == "/spire/agent/join_token/t1"


def test_agents_are_banned_and_evicted(run: Run, api: FakeAdminApi, one: types.Agent) -> None:
    assert run(f"agent ban -spiffeID {T1}").out == "Agent banned successfully\n"
    assert one.banned
    assert run(f"agent evict -spiffeID {T1}").out == "Agent evicted successfully\n"
    assert api.agents == {}


@pytest.mark.usefixtures("one")
def test_in_json_a_ban_and_an_eviction_answer_with_an_empty_object(run: Run) -> None:
    assert run(f"agent ban -spiffeID {T1} -output json").out == "{}\n"
    assert run(f"agent evict -spiffeID {T1} -output json").out == "{}\n"


@pytest.mark.parametrize("command", ["show", "ban", "evict"])
@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("", "a SPIFFE ID is required"),
        ("-spiffeID xx", "scheme is missing or invalid"),
        (f"-spiffeID {T1}", "rpc error: code = NotFound desc = agent not found"),
    ],
)
def test_an_agent_must_be_named_and_known(
    run: Run, command: str, flags: str, complaint: str
) -> None:
    outcome = run(f"agent {command} {flags}")
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"Error: {complaint}\n")


@pytest.mark.parametrize(("number", "text"), [(0, "0 attested agents"), (1, "1 attested agent")])
def test_agents_are_counted(run: Run, api: FakeAdminApi, number: int, text: str) -> None:
    api.agents = {str(i): agent() for i in range(number)}
    assert run("agent count").out == f"{text}\n"
    assert run("agent count -output json").out == f'{{"count":{number}}}\n'


@pytest.mark.parametrize("command", ["list", "count"])
def test_filters_reach_the_server(run: Run, api: FakeAdminApi, command: str) -> None:
    date = "2036-01-02 15:04:05 -0700 -07"
    run(
        f"agent {command} -attestationType x -banned true -canReattest false -selector a:b "
        "-matchSelectorsOn exact -expiresBefore",
        date,
    )
    wanted = api.requests[0].filter
    assert wanted.by_attestation_type == "x"
    assert wanted.by_banned.value is True
    assert wanted.by_can_reattest.value is False
    assert wanted.by_selector_match == types.SelectorMatch(
        selectors=[types.Selector(type="a", value="b")], match=types.SelectorMatch.MATCH_EXACT
    )
    assert wanted.by_expires_before == date


def test_any_other_word_for_banned_or_can_reattest_filters_nothing(
    run: Run, api: FakeAdminApi
) -> None:
    run("agent list -banned all -canReattest x")
    assert api.requests[0].filter.ListFields() == []


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (
            "-selector bad",
            'error parsing selector "bad": selector "bad" must be formatted as type:value',
        ),
        ("-selector a:b -matchSelectorsOn x", "unsupported match behavior"),
        (
            "-expiresBefore xx",
            'date is not valid: "xx" is not of the form "2006-01-02 15:04:05 -0700 -07"',
        ),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused(run: Run, flags: str, complaint: str) -> None:
    outcome = run(f"agent list {flags}")
    assert (outcome.code, outcome.err) == (1, f"Error: {complaint}\n")
