"""Go programs, built once for their sources and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_GO = "the Go toolchain, 1.26 or newer: apt-get install golang-go, or https://go.dev/dl"
BUILD_PATIENCE = 900.0


def built(module: Path) -> Path:
    """The program of the Go module in `module`; skips the test where there can be none.

    A build is named by all that goes into it: the sources, go.mod, go.sum and the compiler. Without
    a compiler any build of these very sources will do.
    """
    stem = cache() / "go" / _digest(module)
    go = shutil.which("go")
    if go is None:
        for program in sorted(stem.parent.glob(f"{stem.name}-*/{module.name}")):
            return program
        pytest.skip(NO_GO)
    program = Path(f"{stem}-{_said([go, 'env', 'GOVERSION'], module).strip()}") / module.name
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        _build(go, module, program)
    return program


def cache() -> Path:
    """The folder that FINIAL_CACHE names, else `finial` in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("FINIAL_CACHE") or f"{home}/finial")


def _digest(module: Path) -> str:
    digest = hashlib.sha256()
    for path in _sources(module):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _sources(module: Path) -> Iterator[Path]:
    yield from (module / "go.mod", module / "go.sum")
    yield from sorted(module.glob("*.go"))


def _build(go: str, module: Path, program: Path) -> None:
    # Two test runs may build at once: each to a name of its own, and the last one stays.
    fresh = program.with_name(f"{program.name}.{os.getpid()}")
    _said([go, "build", "-trimpath", "-o", str(fresh), "."], module)
    fresh.replace(program)


def _said(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=BUILD_PATIENCE, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
