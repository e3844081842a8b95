"""Files that survive a power cut, and the lock on the folder that holds them.

A write is: temporary name in the same folder, mode before content, fsync, rename, fsync of the
folder. A reader therefore finds the old content or the new, never a part, whatever happens in
between. What a killed writer leaves under its temporary name, the next `FolderLock` sweeps away.

All of it blocks: from a running loop call it through `asyncio.to_thread`.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TEMPORARY = ".finial-tmp"
LOCK_NAME = "finial.lock"
MOST_BYTES = 64 * 1024 * 1024


class DurableError(Exception):
    """State on disk could not be read, written or locked; names the path and the way out."""


class FolderLockedError(DurableError):
    """Another process holds the folder."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"data folder {folder} is in use by {holder}: "
            "stop that process, or give this one a data_dir of its own"
        )
        self.folder = folder
        self.pid = pid


class DamagedFileError(DurableError):
    """A file's content is not what we once wrote."""

    def __init__(self, path: Path, reason: str, way_out: str = "restore it from a backup") -> None:
        super().__init__(f"{path} is damaged ({reason}): {way_out}")
        self.path = path


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`, durably, before returning.

    Raises DurableError and leaves the old file as it was when the disk is full or refuses.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        _write_new(temporary, data, mode)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DurableError(_refused(f"cannot write {path}", error)) from error


def read_file(path: Path, most: int = MOST_BYTES) -> bytes | None:
    """The content of `path`, or None when there is no such file.

    Raises DurableError when it cannot be read, DamagedFileError when it exceeds `most` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DurableError(_refused(f"cannot read {path}", error)) from error
    if len(data) > most:
        raise DamagedFileError(path, f"larger than {most} bytes")
    return data


def read_json(path: Path, most: int = MOST_BYTES) -> dict[str, Any] | None:
    """The JSON object in `path`, or None when there is no such file; raises as `read_file`.

    Content that is no JSON object raises DamagedFileError.
    """
    data = read_file(path, most)
    if data is None:
        return None
    if not data.strip(b"\0 \r\n\t"):
        raise DamagedFileError(path, "empty")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = (
            "no valid JSON"
            if not isinstance(error, json.JSONDecodeError)
            else (f"no valid JSON: {error.msg} at line {error.lineno} column {error.colno}")
        )
        raise DamagedFileError(path, reason) from None
    if not isinstance(value, dict):
        raise DamagedFileError(path, "no JSON object")
    return value


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Create `path` and its parents where they are missing; raises DurableError."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise DurableError(_refused(f"cannot create folder {path}", error)) from error


def sync_folder(path: Path) -> None:
    """Make renames and removals in the folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderLock:
    """Holds a folder for this process alone, until released or dead.

    The kernel's flock decides; the file stays behind, and the pid in it is for the message only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock and sweep leftovers; FolderLockedError when somebody else has it."""
        path = self.folder / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise DurableError(_refused(f"cannot lock data folder {self.folder}", error)) from error
        try:
            _flock(descriptor, self.folder)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            sweep(self.folder)
        except OSError as error:
            os.close(descriptor)
            raise DurableError(_refused(f"cannot lock data folder {self.folder}", error)) from error
        except DurableError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; harmless without it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def sweep(folder: Path) -> None:
    """Remove what killed writers left; only for the one process that may write there."""
    for leftover in folder.glob(f".*{TEMPORARY}"):
        with contextlib.suppress(FileNotFoundError):
            leftover.unlink()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, mode)  # the umask has no say in it
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).strip()
        raise FolderLockedError(folder, int(holder) if holder.isdigit() else None) from None


WAYS_OUT = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "free space, or raise the quota",
    errno.EFBIG: "raise the file size limit of this process",
    errno.EROFS: "that file system is mounted read-only",
    errno.EACCES: "give this user access to it",
    errno.EPERM: "give this user access to it",
    errno.ENOENT: "create the folder it lies in",
    errno.ENOTDIR: "a part of its path is no folder",
}


def _refused(what: str, error: OSError) -> str:
    reason = (error.strerror or type(error).__name__).lower()
    way_out = WAYS_OUT.get(error.errno or 0)
    return f"{what}: {reason}" + (f"; {way_out}" if way_out else "")
