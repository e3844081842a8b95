"""SPIRE's command lines on our sockets and ours on SPIRE's, beside SPIRE's on its own."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.interop import script
from tests.interop.programs import FINIAL, Family
from tests.interop.site import Site
from tests.interop.transcript import Shown, mask, record

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

Transcript = dict[str, Shown]


@pytest.fixture(scope="module")
def transcripts(peers: Family) -> Callable[[str, str], Transcript]:
    """What the script showed on a family's site with a family's command lines, each run once."""
    families = {"spire": peers, "finial": FINIAL}
    known: dict[tuple[str, str], Transcript] = {}

    def transcript(site: str, commands: str) -> Transcript:
        if (site, commands) not in known:
            known[site, commands] = asyncio.run(_record(families[site], families[commands]))
        return known[site, commands]

    return transcript


async def _record(family: Family, commands: Family) -> Transcript:
    with tempfile.TemporaryDirectory(prefix="finial-") as name:
        async with Site(Path(name), server=family, agent=family) as site:
            return await record(site, commands)


@pytest.mark.parametrize(
    ("site", "commands"),
    [("finial", "spire"), ("spire", "finial"), ("finial", "finial")],
    ids=["spires-commands-on-our-sockets", "ours-on-spires", "ours-on-our-own"],
)
def test_every_command_answers_as_spires_does_on_spires_sockets(
    transcripts: Callable[[str, str], Transcript], site: str, commands: str
) -> None:
    theirs, ours = transcripts("spire", "spire"), transcripts(site, commands)
    wanted = {name for name, shown in theirs.items() if commands == "spire" or shown.is_ours}
    assert wanted == ours.keys()
    different = [
        f"{name}\n    SPIRE: {theirs[name].compared()}\n    here:  {shown.compared()}"
        for name, shown in ours.items()
        if shown.compared() != theirs[name].compared()
    ]
    assert not different, "\n".join(different)


async def watched(site: Site, commands: Family) -> tuple[list[str], list[str]]:
    """What `api watch` prints first, and what it prints when there is a second SVID, sorted."""
    async with site.watching(commands) as process, asyncio.timeout(60):
        assert process.stdout is not None
        first = block = await _block(process.stdout)
        await site.add("/other")
        while not any("/other" in line for line in block):
            block = await _block(process.stdout)
        process.send_signal(signal.SIGINT)
        assert await process.wait() != 0
        return first, sorted(block)


async def _block(stream: asyncio.StreamReader) -> list[str]:
    """An update: a line that counts, and for each SVID its lines and an empty one."""
    head = (await stream.readline()).decode()
    lines = [mask(head)]
    for _ in range(int(head.split()[1]) + 1):
        while line := (await stream.readline()).decode().strip():
            lines.append(mask(line))
    return lines


@pytest.mark.parametrize("ours", ["server-and-agent", "commands"])
async def test_a_watch_prints_what_spires_prints(peers: Family, folder: Path, ours: str) -> None:
    family, commands = (FINIAL, peers) if ours == "server-and-agent" else (peers, FINIAL)
    seen = []
    for number, (site_of, words_of) in enumerate([(peers, peers), (family, commands)]):
        async with Site(folder / f"{number}", server=site_of, agent=site_of) as site:
            await site.add("/web")
            await site.until_served("/web")
            seen.append(await watched(site, words_of))
    assert seen[1] == seen[0]


def test_the_script_has_every_command_of_ours() -> None:
    """A new command needs steps of its own; those left out have tests of their own.

    SPIRE has `wit mint` only behind a switch that the sites of this script do not set: test_wit.py.
    """
    from finial.agent.cli.main import COMMANDS as AGENT
    from finial.server.cli.main import COMMANDS as SERVER

    words = [" ".join(step.words) for steps in script.scenes().values() for step in steps]
    for command in (*SERVER, *AGENT):
        if command.words not in {"run", "validate", "api watch", "wit mint"}:
            assert any(each.startswith(command.words) for each in words), command
