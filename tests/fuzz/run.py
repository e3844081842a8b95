"""Fuzz every target (or those named) with atheris, a process each, as many at once as cores.

Inputs that reach new code gather in FINIAL_CACHE/fuzz, and so do the logs. A crash leaves its input
in the target's committed corpus, where `make test` replays it from then on; `--keep` brings the
smallest inputs of the gathered ones there that between them reach what all reach.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).resolve().parent / "corpus"
CACHE = Path(os.environ.get("FINIAL_CACHE", Path.home() / ".cache/finial")) / "fuzz"
KEPT = 64
"""Inputs of a target that `--keep` leaves in the repository, the smallest first."""

WORKER = """
import sys
import atheris
sys.path.insert(0, {root!r})
with atheris.instrument_imports(include=["finial", "h2", "hpack", "hyperframe"]):
    from tests.fuzz.targets import TARGETS
atheris.Setup(sys.argv, TARGETS[{name!r}])
atheris.Fuzz()
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one target fared: inputs tried, edges covered, and whether one of them crashed it."""

    name: str
    inputs: int
    edges: int
    crashed: bool
    log: Path

    def __str__(self) -> str:
        end = f"CRASHED, see {self.log}" if self.crashed else "no crash"
        return f"{self.name:18} {self.inputs:>12,} inputs {self.edges:>7,} edges   {end}"


def atheris(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run one target's process; its output is libFuzzer's."""
    program = WORKER.format(root=str(ROOT), name=name)
    command = [sys.executable, "-c", program, *flags]
    return subprocess.run(
        command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def fuzz(name: str, seconds: int) -> Outcome:
    """Fuzz a target for so long, or until it crashes."""
    found, corpus = CACHE / name, CORPUS / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    done = atheris(
        name,
        f"-max_total_time={seconds}",
        f"-artifact_prefix={corpus}/",
        "-max_len=4096",
        "-print_final_stats=1",
        str(found),
        str(corpus),
    )
    log = CACHE / f"{name}.log"
    log.write_text(done.stdout)
    inputs = re.findall(r"stat::number_of_executed_units: (\d+)", done.stdout)
    edges = re.findall(r"cov: (\d+)", done.stdout)
    return Outcome(
        name,
        inputs=int(inputs[-1]) if inputs else 0,
        edges=int(edges[-1]) if edges else 0,
        crashed=done.returncode != 0 or not inputs,
        log=log,
    )


def keep(name: str) -> int:
    """Bring what was gathered into the repository; returns how many inputs are new there."""
    corpus = CORPUS / name
    before = len(list(corpus.iterdir()))
    with tempfile.TemporaryDirectory() as folder:
        atheris(name, "-merge=1", folder, str(corpus), str(CACHE / name))
        known = {path.read_bytes() for path in corpus.iterdir()}
        chosen = sorted(Path(folder).iterdir(), key=lambda path: path.stat().st_size)
        for path in chosen[: max(KEPT - before, 0)]:
            if path.read_bytes() not in known:
                shutil.copy(path, corpus / path.name)
    return len(list(corpus.iterdir())) - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--keep", action="store_true", help="grow the corpora; no fuzzing")
    options = parser.parse_args()
    names = options.targets or sorted(path.name for path in CORPUS.iterdir())
    if options.keep:
        for name in names:
            print(f"{name}: {keep(name)} new inputs kept")
        return 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        outcomes = list(pool.map(lambda name: fuzz(name, options.seconds), names))
    print(f"fuzzed {len(names)} targets for {options.seconds} s each", *outcomes, sep="\n")
    return 1 if any(outcome.crashed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
