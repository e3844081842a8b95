"""kill -9 of the agent at any moment."""

import asyncio
import random

from tests.fakes.lab import Lab, whole_lab

TIMES = 10


async def test_an_agent_killed_at_any_moment_goes_on_where_it_was() -> None:
    rng = random.Random()
    # An SVID that was loaded is renewed 2.5 s after its issue: many of the kills hit a renewal.
    async with whole_lab(agent_ttl="15s", log_level="info") as lab:
        before, first = await agents(lab), lab.agent_svid()
        for _ in range(TIMES):
            # The moment is the point: from before the first import to after the first sync.
            await asyncio.sleep(rng.uniform(0, 1.2))
            await lab.agent.kill()
            await lab.agent.launch()
        await lab.agent.kill()
        await lab.agent.start()
        await lab.serving("/db")
        assert await agents(lab) == before
        assert lab.agent_svid() != first
        assert lab.agent.log().count("node attested") == 1


async def agents(lab: Lab) -> list[str]:
    shown = await lab.admin("agent list", "-output", "json")
    assert shown.code == 0, shown.err
    return [each["id"]["path"] for each in shown.json["agents"]]
