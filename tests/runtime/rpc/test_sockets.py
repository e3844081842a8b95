import errno
import os
import socket
import stat
import struct
from pathlib import Path

import pytest

from finial.runtime.rpc import SocketInUseError
from finial.runtime.rpc.callers import open_pidfd, start_time, unix_caller
from finial.runtime.rpc.sockets import BoundPath, bind_unix, raise_descriptor_limit


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_the_socket_has_exactly_its_mode(folder: Path, mode: int) -> None:
    with bind_unix(folder / "s", mode=mode, group=None):
        assert stat.S_IMODE((folder / "s").stat().st_mode) == mode


def test_the_group_is_set(folder: Path) -> None:
    with bind_unix(folder / "s", mode=0o660, group=os.getgid()):
        assert (folder / "s").stat().st_gid == os.getgid()


def test_a_dead_socket_is_replaced(folder: Path) -> None:
    bind_unix(folder / "s", mode=0o600, group=None).close()
    assert (folder / "s").exists()
    bind_unix(folder / "s", mode=0o600, group=None).close()


def test_a_socket_that_answers_is_left_alone(folder: Path) -> None:
    with bind_unix(folder / "s", mode=0o600, group=None):
        with pytest.raises(SocketInUseError, match="another program answers"):
            bind_unix(folder / "s", mode=0o600, group=None)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "s"))


def test_a_file_that_is_no_socket_is_left_alone(folder: Path) -> None:
    (folder / "s").write_text("precious")
    with pytest.raises(FileExistsError, match="not a socket"):
        bind_unix(folder / "s", mode=0o600, group=None)
    assert (folder / "s").read_text() == "precious"


def test_only_our_own_socket_is_removed(folder: Path) -> None:
    with bind_unix(folder / "s", mode=0o600, group=None):
        ours = BoundPath(folder / "s")
    (folder / "s").rename(folder / "old")
    with bind_unix(folder / "s", mode=0o600, group=None):
        ours.remove()
        assert (folder / "s").exists()
        BoundPath(folder / "s").remove()
        assert not (folder / "s").exists()
    ours.remove()


def test_the_umask_is_as_before(folder: Path) -> None:
    before = os.umask(0o022)
    bind_unix(folder / "s", mode=0o600, group=None).close()
    assert os.umask(before) == 0o022


def test_the_caller_of_a_unix_socket_is_known(folder: Path) -> None:
    with (
        bind_unix(folder / "s", mode=0o600, group=None) as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(str(folder / "s"))
        accepted, _ = listener.accept()
        with accepted:
            caller = unix_caller(accepted)
    assert (caller.pid, caller.uid, caller.gid) == (os.getpid(), os.getuid(), os.getgid())
    assert caller.pidfd is not None
    info = Path(f"/proc/self/fdinfo/{caller.pidfd}").read_text()
    assert f"Pid:\t{os.getpid()}\n" in info
    os.close(caller.pidfd)


def test_a_pidfd_can_be_opened_where_the_kernel_gives_none() -> None:
    fd = open_pidfd(os.getpid())
    assert fd is not None
    os.close(fd)
    assert start_time(os.getpid()) is not None


class Accepted:
    """A socket whose peer had this process's PID, on a kernel that gives no pidfd for it."""

    def __init__(self, number: int) -> None:
        self._number = number

    def getsockopt(self, _level: int, option: int, size: int = 0) -> bytes:
        if option == socket.SO_PEERCRED:
            return struct.pack("3i", os.getpid(), 0, 0)[:size]
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize("number", [errno.ESRCH, errno.EINVAL])
def test_a_caller_that_is_gone_is_not_pinned_to_whoever_has_its_pid(number: int) -> None:
    assert unix_caller(Accepted(number)).pidfd is None  # type: ignore[arg-type]


def test_a_caller_is_pinned_by_its_pid_where_the_kernel_knows_no_better() -> None:
    caller = unix_caller(Accepted(errno.ENOPROTOOPT))  # type: ignore[arg-type]
    assert caller.pidfd is not None
    os.close(caller.pidfd)


def test_a_process_that_is_gone_has_no_pidfd() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert open_pidfd(child) is None
    assert start_time(child) is None


def test_the_descriptor_limit_is_the_hard_one() -> None:
    import resource

    raise_descriptor_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
