"""A process that has loaded all libraries, but nothing of Finial: from it, runs begin quickly.

Reads a job a line, JSON, from standard input; forks for each; answers with a line of JSON.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.conformance.proving import trial

LIBRARIES = (
    *("grpc", "grpc.aio", "grpc._server", "grpc._utilities", "h2.connection", "jwt", "uvloop"),
    *("google.protobuf.struct_pb2", "google.protobuf.wrappers_pb2", "google.protobuf.empty_pb2"),
    *("google.rpc.status_pb2", "cryptography.x509", "cryptography.hazmat.primitives.serialization"),
    *("cryptography.hazmat.backends.openssl.backend", "pydantic.main", "pydantic.types"),
    *("pydantic.dataclasses", "pydantic.functional_validators", "sqlalchemy.dialects.sqlite"),
    *("sqlalchemy.dialects.postgresql", "hypothesis", "pytest_asyncio", "pytest_timeout"),
    *("_hypothesis_pytestplugin", "_pytest.junitxml", "_pytest.unittest", "_pytest.warnings"),
    *("asyncio", "faulthandler", "importlib.metadata", "logging.handlers", "multiprocessing"),
    *("pdb", "readline", "secrets", "sqlite3", "stringprep", "tomllib", "encodings.idna"),
)
TEST_SECONDS = 30.0
"""What one test may take without its rule."""
SECONDS = 100.0
"""What a job may take."""


def main() -> None:
    """Answer jobs until standard input ends."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not any(name.partition(".")[0] == "finial" for name in sys.modules)
    gc.collect()
    gc.freeze()  # what is loaded here is not looked at again in each run
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(_attempt(json.loads(line))) + "\n")


def _attempt(job: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="row"))
    try:
        finding = _forked(job, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"seconds": time.monotonic() - started, **finding}


def _forked(job: dict[str, Any], folder: Path) -> dict[str, str]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(job, folder, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        in_time = _ends(pid, SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        said = answer.read()
    if in_time and said:
        return dict(json.loads(said))
    output = (folder / "output").read_text()[-2000:]
    reason = "the run died" if in_time else f"the run took more than {SECONDS:g} s"
    return {"verdict": trial.BROKEN, "text": f"{reason}: {output}"}


def _ends(pid: int, seconds: float) -> bool:
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


def _be_child(job: dict[str, Any], folder: Path, answer: int) -> None:
    os.setpgid(0, 0)
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    source = folder / "s"
    source.mkdir()
    try:
        finding = trial.run(job["files"], job["tests"], source, timeout=TEST_SECONDS)
        os.write(answer, json.dumps(vars(finding)).encode())
    except BaseException:  # noqa: BLE001 - the caller's code must not run twice
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
