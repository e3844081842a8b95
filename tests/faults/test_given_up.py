"""Agents that their server gives up."""

import json

from tests.fakes.lab import Lab


def stored_svid(lab: Lab) -> object:
    return json.loads((lab.agent_data / "agent-data.json").read_text())["svid"]


async def dismiss(lab: Lab, how: str) -> None:
    outcome = await lab.admin(f"agent {how}", "-spiffeID", f"spiffe://example.org{lab.agent_id}")
    assert outcome.code == 0, outcome.err


async def test_a_banned_agent_forgets_its_svid_and_ends(lab: Lab) -> None:
    assert stored_svid(lab)
    await dismiss(lab, "ban")
    assert await lab.agent.wait() == 1
    assert "this agent is banned at the server" in lab.agent.log()
    assert stored_svid(lab) is None
    # It has no evidence left, and says so.
    assert "token" in await lab.agent.refused()


async def test_an_evicted_agent_ends_and_comes_back_with_a_new_token(lab: Lab) -> None:
    await dismiss(lab, "evict")
    assert await lab.agent.wait() == 1
    assert "no longer accepts this agent" in lab.agent.log()
    assert stored_svid(lab) is None
    assert "token" in await lab.agent.refused()
    await lab.join()
    await lab.add("/again")
    await lab.serving("/again")


async def test_an_agent_that_was_away_when_it_was_evicted_is_refused(lab: Lab) -> None:
    await lab.agent.stop()
    await dismiss(lab, "evict")
    assert "no longer accepts this agent" in await lab.agent.refused()
    assert stored_svid(lab) is None
