from dataclasses import replace

import pytest

from finial.server.registry.agents import AgentIndex, AgentVerdict, check_agent
from finial.server.registry.model import Agent
from tests.server.registry.examples import NODE, OTHER_NODE, agent

NOW = 1_800_000_000.0
RENEWED = replace(agent(serial="11"), new_serial_number="12", new_expires_at=1_800_007_200)
BANNED = replace(agent(), serial_number="")


@pytest.mark.parametrize(
    ("record", "serial", "verdict"),
    [
        (agent(serial="11"), "11", AgentVerdict.OK),
        (RENEWED, "11", AgentVerdict.OK),
        (RENEWED, "12", AgentVerdict.PROMOTE),
        (agent(serial="11"), "12", AgentVerdict.NOT_ACTIVE),
        (None, "11", AgentVerdict.NOT_ATTESTED),
        (BANNED, "11", AgentVerdict.BANNED),
        # Neither an empty record nor an empty serial ever matches the other.
        (BANNED, "", AgentVerdict.BANNED),
        (agent(serial="11"), "", AgentVerdict.NOT_ACTIVE),
    ],
)
def test_the_record_decides_what_a_serial_is_worth(
    record: Agent | None, serial: str, verdict: AgentVerdict
) -> None:
    assert check_agent(record, serial, NOW) is verdict
    assert check_agent(record, serial, NOW, NOW + 1) is verdict


@pytest.mark.parametrize("record", [agent(serial="11"), None, BANNED])
def test_an_expired_certificate_is_expired_whatever_the_record_says(record: Agent | None) -> None:
    assert check_agent(record, "11", NOW, NOW - 1) is AgentVerdict.EXPIRED


def test_without_the_certificates_own_end_the_records_counts() -> None:
    assert check_agent(RENEWED, "11", 1_800_003_601) is AgentVerdict.EXPIRED
    assert check_agent(RENEWED, "12", 1_800_003_601) is AgentVerdict.PROMOTE
    assert check_agent(RENEWED, "12", 1_800_007_201) is AgentVerdict.EXPIRED


def test_a_certificate_is_good_up_to_its_very_end() -> None:
    assert check_agent(RENEWED, "11", NOW, NOW) is AgentVerdict.OK
    assert check_agent(RENEWED, "11", 1_800_003_600) is AgentVerdict.OK
    assert check_agent(RENEWED, "12", 1_800_007_200) is AgentVerdict.PROMOTE


@pytest.mark.parametrize("serial", ["0", "10", "110", "13", "9", "011", "11 ", "-11"])
def test_a_serial_is_compared_as_it_stands(serial: str) -> None:
    assert check_agent(RENEWED, serial, NOW) is AgentVerdict.NOT_ACTIVE


def test_only_ok_and_promote_are_good() -> None:
    assert {verdict for verdict in AgentVerdict if verdict.good} == {
        AgentVerdict.OK,
        AgentVerdict.PROMOTE,
    }


def test_the_index_knows_agents_by_id() -> None:
    index = AgentIndex()
    index.put(agent(NODE, "1"))
    index.put(agent(NODE, "2"))
    index.put(agent(OTHER_NODE))
    assert index.get(NODE) == agent(NODE, "2")
    assert len(index) == len(list(index)) == 2
    assert index.pop(NODE.uri) == agent(NODE, "2")
    assert index.pop(NODE.uri) is None
    index.replace_all([agent(NODE, "3")])
    assert list(index) == [agent(NODE, "3")]
