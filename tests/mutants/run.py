"""Mutate the standards and the authorisation code, and count the mutants that the tests kill.

Works on a copy of the tree: a mutant never touches the checkout. Prints killed / total and each
survivor; exits 1 when fewer than the wanted share is killed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
PARTS: dict[str, tuple[str, str]] = {
    "spiffe": (
        "core/finial/spiffe",
        (
            "tests/spiffe tests/conformance/test_id.py "
            "tests/conformance/test_x509.py tests/conformance/test_jwt.py "
            "tests/conformance/test_bnd.py"
        ),
    ),
    "authorization": (
        "server/finial/server/api/authorization.py",
        "tests/server/api/test_authorization.py",
    ),
    "gate": ("server/finial/server/api/gate.py", "tests/server/api/test_gate.py"),
}
ROOTS = ("proto", "core", "server", "agent", "attestors")


def configuration(module: str, tests: str) -> str:
    command = f"{sys.executable} -m pytest -x -q -p no:cacheprovider {tests}"
    return f"""
[cosmic-ray]
module-path = "{module}"
timeout = 60.0
test-command = "{command}"
[cosmic-ray.distributor]
name = "local"
"""


def run(tree: Path, *command: str) -> None:
    paths = os.pathsep.join(str(tree / root) for root in ROOTS)
    subprocess.run(command, cwd=tree, check=True, env={**os.environ, "PYTHONPATH": paths})


def judge(tree: Path, part: str) -> Counter[str]:
    """Run all mutants of one part; the outcomes, survivors printed as they are found."""
    from cosmic_ray.work_db import use_db

    module, tests = PARTS[part]
    (tree / "mutants.toml").write_text(configuration(module, tests))
    session = tree / f"{part}.sqlite"
    tool = str(Path(sys.executable).parent / "cosmic-ray")
    run(tree, tool, "init", "mutants.toml", str(session))
    run(tree, tool, "baseline", "mutants.toml")
    run(tree, tool, "exec", "mutants.toml", str(session))
    outcomes: Counter[str] = Counter()
    with use_db(str(session)) as database:
        for job, result in database.completed_work_items:
            outcome = str(getattr(result.test_outcome, "value", result.worker_outcome))
            outcomes[outcome] += 1
            if outcome == "survived":
                for mutation in job.mutations:
                    print(
                        f"survived: {mutation.module_path}:{mutation.start_pos[0]}"
                        f" {mutation.operator_name}"
                    )
    return outcomes


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    parser.add_argument("--want", type=float, default=0.0, help="share that must be killed, 0 to 1")
    options = parser.parse_args(arguments)
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        ignored = shutil.ignore_patterns(".git", ".venv", ".finial", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, tree, ignore=ignored)
        for part in options.parts:
            outcomes = judge(tree, part)
            print(f"{part}: {dict(outcomes)}")
            total += outcomes
    share = 1 - total["survived"] / max(total.total(), 1)
    print(f"killed {total.total() - total['survived']} / {total.total()} ({share:.1%})")
    return 0 if share >= options.want else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
