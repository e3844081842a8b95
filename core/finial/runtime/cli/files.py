"""Files that a command reads and writes on the operator's behalf."""

import os
from pathlib import Path

from finial.runtime.cli.console import Console
from finial.runtime.cli.failure import file_failure

PUBLIC = 0o644
SECRET = 0o600


def read_input(name: str, console: Console) -> str:
    """The text of a file, or of standard input for `-`; raises FailureError."""
    if name == "-":
        return console.stdin.read()
    try:
        return Path(name).read_text("utf-8", errors="replace")
    except OSError as error:
        raise file_failure("open", name, error) from None


def write_output(path: Path, data: bytes, mode: int) -> None:
    """Write a file, its mode set before its content; raises OSError.

    An existing file is replaced in place, for it may be a mount or a link; a secret one gets its
    mode all the same.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        if mode == SECRET:
            os.fchmod(descriptor, mode)
        file.truncate()
        file.write(data)
