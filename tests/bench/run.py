"""Run the load harness on Finial, and on SPIRE beside it, and print one table.

Environment: BENCH, the harness's folder; FINIAL_BIN, the folder of our programs; FINIAL_PEERS,
the folder of SPIRE's programs (without it the figures in recorded.json stand beside ours).
Each experiment runs on one target and then at once on the other: these machines drift.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench import storm
from tests.bench.rpc import refusals, refused_frames
from tests.bench.table import Line, Results, render, rows_of

HERE = Path(__file__).resolve().parent
EXPERIMENTS = (
    "coldstart",
    "propagation",
    "workload",
    "streams",
    "issue",
    "entries",
    "memory",
    "refusals",
    "refused_frames",
    "storm",
)
OURS_ALONE = {
    "refusals": refusals.measure,
    "refused_frames": refused_frames.measure,
    "storm": storm.measure,
}
"""Measured here, without the harness; nothing of SPIRE's stands beside them."""


def measure(bench: Path, target: str, experiment: str, flags: list[str]) -> list[Line]:
    """Run one experiment; its lines are echoed as they come: runs are long."""
    command = [str(bench / "run.sh"), target, experiment, *(["--", *flags] if flags else [])]
    lines: list[Line] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for text in run.stdout:
            print(text, end="", file=sys.stderr, flush=True)
            if text.startswith("{"):
                line = json.loads(text)
                if "value" in line:
                    lines.append(line)
    if run.returncode:
        print(f"{target} {experiment}: the harness ended with {run.returncode}", file=sys.stderr)
    return lines


def recorded() -> Results:
    """SPIRE's figures of an earlier run, for machines without its programs."""
    results = Results()
    results.add(json.loads((HERE / "recorded.json").read_text()))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS)
    parser.add_argument("--flags", default="", help="flags for the harness, in one string")
    parser.add_argument("--save", type=Path, help="write the lines of both targets here, as JSON")
    options = parser.parse_args()
    bench = Path(os.environ.get("BENCH", "../shared/bench")).resolve()
    if not (bench / "run.sh").exists():
        print(f"no load harness in {bench}; set BENCH to its folder", file=sys.stderr)
        return 1
    with_peer = bool(os.environ.get("FINIAL_PEERS"))
    ours, peer = Results(), Results() if with_peer else recorded()
    for experiment in options.experiments:
        if experiment in OURS_ALONE:
            with tempfile.TemporaryDirectory(prefix="rpc") as folder:
                ours.add(OURS_ALONE[experiment](Path(folder)))
            continue
        ours.add(measure(bench, "finial", experiment, options.flags.split()))
        if with_peer:
            peer.add(measure(bench, "spire", experiment, options.flags.split()))
    print(render(rows_of(ours, peer), "SPIRE" if with_peer else "SPIRE, recorded"))
    if options.save:
        saved = {"finial": list(ours.lines.values()), "spire": list(peer.lines.values())}
        options.save.write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n")
    return 0 if ours.lines else 1


if __name__ == "__main__":
    sys.exit(main())
