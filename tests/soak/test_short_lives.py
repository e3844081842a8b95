"""SVIDs of one minute on the real clock, watched for FINIAL_SOAK_SECONDS, five minutes by default.

`make soak` runs it and prints its figures; the same on a fake clock is part of `make test`.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.fakes.daemon import ENV
from tests.fakes.lab import whole_lab

SECONDS = float(os.environ.get("FINIAL_SOAK_SECONDS", "300"))
TTL = 60
WATCHER = Path(__file__).with_name("watcher.py")


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 120)
async def test_a_watched_stream_never_holds_an_expired_svid(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with whole_lab(x509_ttl=f"{TTL}s", agent_ttl=f"{TTL}s", sync_interval="5s") as lab:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(WATCHER), str(lab.agent.socket), str(SECONDS)),
            env=ENV,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b""), lab.agent.log()
    seen = json.loads(out)
    with capsys.disabled():
        print(
            f"\n{SECONDS:.0f} s with SVIDs of {TTL} s: {seen['svids']} SVIDs, "
            f"{seen['smallest_life_left']:.1f} s the smallest life left at a replacement, "
            f"expired for {seen['expired_seconds']:.1f} s"
        )
    assert seen["expired_seconds"] == 0
    assert seen["smallest_life_left"] > 0
    assert seen["svids"] >= SECONDS / TTL
