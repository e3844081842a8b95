"""Change the standards and the authorisation code in every way that cosmic-ray knows, and count.

`make mutants` says how many of the mutants the tests kill, and fails when it is less than the
wanted share, or when one survives that is not in survivors.toml with a reason. Works on a copy of
the tree, and changes a module only in the memory of the process that judges it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.mutants import survivors
from tests.mutants.parts import PARTS, ROOTS, Part
from tests.mutants.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("survivors.toml")
_IGNORED = (".git", ".venv", ".finial", ".hypothesis", "__pycache__", ".*_cache")


def judge(tree: Path, part: Part, workers: int, only: Sequence[str]) -> list[dict[str, Any]]:
    """The results of one part, from a process whose working directory is the tree.

    Raises:
        subprocess.CalledProcessError: the tests fail over the unchanged tree, say.
    """
    results = tree / "mutants.json"
    paths = os.pathsep.join(str(tree / root) for root in (*ROOTS, "."))
    subprocess.run(
        [sys.executable, "-m", "tests.mutants.judge", "--workers", str(workers), "--only", *only,
         "--results", str(results), "--sources", *part.source_files(tree),
         "--tests", *part.test_files(tree)],
        cwd=tree,
        check=True,
        # Byte code is kept, in the copy: without, each process would compile all tests anew.
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    return [json.loads(line) for line in results.read_text().splitlines()]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--want", type=float, default=0.95, help="share to be killed, 0 to 1")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--only", nargs="+", default=[""], help="texts in the paths to change")
    options = parser.parse_args(arguments)
    report = Report(survivors.read(LIST))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*_IGNORED))
        for name in options.parts:
            report.add(judge(tree, PARTS[name], options.workers, options.only))
    print(report.text())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{time.monotonic() - started:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of processor "
        f"time, with {options.workers} processes at once"
    )
    return 0 if report.share >= options.want and not report.unlisted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
