"""Generate the typed Python stubs beside the .proto files, or check that they are current.

Run it with the interpreter that has grpcio-tools and mypy-protobuf installed:
`python proto/generate.py` writes, `python proto/generate.py --check` only compares.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
STUB_PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def compile_protos(out: Path) -> None:
    """Run the compiler on every .proto file, with `out` as the root of what it writes."""
    protos = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    # The mypy plugins are scripts next to the interpreter, even when no environment is activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",  # adds the include folder of google/protobuf by itself
            f"-I{ROOT}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet,generate_concrete_servicer_stubs:{out}",
            f"--mypy_grpc_out=quiet,generate_concrete_servicer_stubs:{out}",
            *protos,
        ],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PATH": path},
    )


def read_stubs(root: Path) -> dict[Path, bytes]:
    """Return the content of every stub below `root`, by relative path."""
    return {
        path.relative_to(root): path.read_bytes()
        for pattern in STUB_PATTERNS
        for path in root.rglob(pattern)
    }


def differences(wanted: dict[Path, bytes], found: dict[Path, bytes]) -> dict[Path, str]:
    """Say what is wrong with each found stub that isn't as wanted."""
    wrong = {}
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            wrong[path] = "missing"
        elif path not in wanted:
            wrong[path] = "stray"
        elif wanted[path] != found[path]:
            wrong[path] = "differs"
    return wrong


def write_stubs(wanted: dict[Path, bytes], wrong: dict[Path, str]) -> None:
    """Write the stubs that are missing or differ; remove those that have no .proto file."""
    for path, problem in wrong.items():
        if problem == "stray":
            (ROOT / path).unlink()
        else:
            (ROOT / path).write_bytes(wanted[path])


def main() -> int:
    """Return 1 if a check found differences, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a stub is not current"
    )
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        compile_protos(Path(folder))
        wanted = read_stubs(Path(folder))
    wrong = differences(wanted, read_stubs(ROOT))

    if not args.check:
        write_stubs(wanted, wrong)
        return 0
    for path, problem in wrong.items():
        sys.stderr.write(f"{problem}: proto/{path.as_posix()}\n")
    if wrong:
        sys.stderr.write("run: python proto/generate.py\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
