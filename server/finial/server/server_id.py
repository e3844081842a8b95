"""Which of the servers of a trust domain this is: an ID that is kept in the data folder.

It tells apart what each server has for itself in a database that they share: the journals of its
authorities. It is no secret and proves nothing.
"""

import re
import secrets
from pathlib import Path
from typing import Final

from finial.runtime import durable

FILE: Final = "server_id"

_FORM: Final = re.compile(rb"[0-9a-f]{32}\n?")


def server_id(data_dir: Path) -> str:
    """Return the ID of the server that has the data folder; a new folder gets a new one.

    To be called under the folder's lock.

    Raises:
        DurableError: the file cannot be read or written, or is not what this function writes.
    """
    path = data_dir / FILE
    found = durable.read_file(path, most=1024)
    if found is None:
        made = secrets.token_hex(16)
        durable.write_file(path, made.encode() + b"\n")
        return made
    if _FORM.fullmatch(found) is None:
        way_out = "restore it from a backup; or remove it, and the server begins new authorities"
        raise durable.DamagedFileError(path, "no 32 hexadecimal digits", way_out)
    return found.decode().strip()
