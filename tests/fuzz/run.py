"""Fuzz every target (or those named) with atheris, one process a target.

Inputs that reach new code gather in FINIAL_CACHE/fuzz; a crash leaves its input in the target's
committed corpus, where `make test` replays it from then on.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).resolve().parent / "corpus"

WORKER = """
import sys
import atheris
sys.path.insert(0, {root!r})
with atheris.instrument_imports(include=["finial"]):
    from tests.fuzz.targets import TARGETS
atheris.Setup(sys.argv, TARGETS[{name!r}])
atheris.Fuzz()
"""


def fuzz(name: str, seconds: int) -> int:
    corpus = CORPUS / name
    found = Path(os.environ.get("FINIAL_CACHE", Path.home() / ".cache/finial")) / "fuzz" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    program = WORKER.format(root=str(ROOT), name=name)
    flags = [f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/", "-max_len=4096"]
    return subprocess.run(
        [sys.executable, "-c", program, *flags, str(found), str(corpus)], cwd=ROOT, check=False
    ).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    names = options.targets or sorted(path.name for path in CORPUS.iterdir())
    failed = [name for name in names if fuzz(name, options.seconds)]
    print(f"fuzzed {len(names)} targets for {options.seconds} s each; crashed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
