"""go-spiffe as a workload: what it says, step by step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.interop.programs import run

if TYPE_CHECKING:
    from pathlib import Path

AUDIENCE = "reader"


async def steps(program: Path, socket: Path) -> dict[str, Any]:
    """Run the program to its end; returns what each step showed."""
    outcome = await run(str(program), str(socket), AUDIENCE)
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    return {line.pop("step"): line for line in lines}


def all_well(spiffe_id: str, *, svids: int = 1) -> dict[str, Any]:
    """What the steps show for a workload of one trust domain."""
    return {
        "x509": {"id": spiffe_id, "svids": svids},
        "x509_bundles": {"count": 1},
        "jwt": {"id": spiffe_id, "audience": [AUDIENCE]},
        "validate": {"id": spiffe_id, "other_audience_refused": True},
        "mtls": {"peer": spiffe_id},
    }
