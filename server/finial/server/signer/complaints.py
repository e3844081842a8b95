"""What a signer has to say to the operator: JSON lines on standard error, which the server logs."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def prepare() -> None:
    """Never wait for a reader: one that has stopped reading must not stop the signing."""
    os.set_blocking(sys.stderr.fileno(), False)


def say(level: str, message: str, /, **fields: Any) -> None:
    """Write one line; `level` is error, warn or info. Lost when nobody reads."""
    line = json.dumps({"level": level, "message": message, "fields": fields})
    try:
        os.write(sys.stderr.fileno(), line.encode() + b"\n")
    except OSError:
        return
