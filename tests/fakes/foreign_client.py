"""The PyPI client `spiffe`, in a virtual environment of its own.

It has names in common with our generated stubs, so it never shares an interpreter with us. The
environment is made once, below FINIAL_CACHE, and kept.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

REQUIREMENTS = ("spiffe==0.3.2",)
PATIENCE = 60.0


@functools.cache
def interpreter() -> Path:
    """The Python that has the client; skips the test when it cannot be installed."""
    named = "\n".join((*REQUIREMENTS, sys.version)).encode()
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(os.environ.get("FINIAL_CACHE") or f"{home}/finial") / "venvs"
    folder = cache / hashlib.sha256(named).hexdigest()[:16]
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _make(folder)
    return folder / "bin" / "python"


def _make(folder: Path) -> None:
    """Make it under another name first, so that one that exists is complete."""
    part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
    try:
        _run(sys.executable, "-m", "venv", str(part))
        _run(
            *(str(part / "bin" / "python"), "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", *REQUIREMENTS),
        )
        part.rename(folder)
    except FileExistsError:
        pass  # somebody else was faster
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _run(*words: str) -> None:
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=_environment(), timeout=300
    )
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        pytest.skip(f"cannot make it ({reason}): run `pip install {' '.join(REQUIREMENTS)}`")


def _environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


async def run_foreign(program: str, socket: Path) -> list[Any]:
    """Run a program with the client at hand; return the JSON of each line that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(str(interpreter()), "-c", program),
        env=_environment(SPIFFE_ENDPOINT_SOCKET=f"unix://{socket}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.splitlines()]
