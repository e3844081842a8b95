import errno
import os
import random
import re
import resource
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from finial.runtime import durable
from finial.runtime.durable import DamagedFileError, DurableError, FolderLock, FolderLockedError


def program(text: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_written_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    durable.write_file(path, b"old")
    durable.write_file(path, b"new")
    assert durable.read_file(path) == b"new"
    assert names(tmp_path) == {"keys.json"}


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_the_mode_is_the_one_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        durable.write_file(tmp_path / "f", b"x", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


WATCHED = """
    import os, pathlib, stat, sys
    from finial.runtime import durable

    def watch(event, arguments):
        if event == "os.rename":
            print(oct(stat.S_IMODE(os.stat(arguments[0]).st_mode)))

    os.umask(0)
    sys.addaudithook(watch)
    durable.write_file(pathlib.Path(sys.argv[1]), b"secret")
"""


def test_the_content_is_closed_to_others_before_it_gets_its_name(tmp_path: Path) -> None:
    with program(WATCHED, str(tmp_path / "f")) as watched:
        output, _ = watched.communicate(timeout=20)
    assert output == b"0o600\n"


def test_content_and_rename_are_synced_in_that_order(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = """
        import sys, pathlib; from finial.runtime import durable
        durable.write_file(pathlib.Path(sys.argv[1]), b"data")
    """
    strace = ["strace", "-f", "-e", "trace=fsync,rename,renameat,renameat2", "-o", str(trace)]
    try:
        command = [*strace, sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "f")]
        subprocess.run(command, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("strace cannot be used here: run `apt-get install strace`")
    calls = re.findall(r"\b(fsync|rename)(?:at2?)?\(", trace.read_text())
    assert calls == ["fsync", "rename", "fsync"]


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    durable.write_file(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DurableError, match=r"cannot write .*keys.json: file too large; raise"):
            durable.write_file(path, b"n" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert durable.read_file(path) == b"old"
    assert names(tmp_path) == {"keys.json"}


def test_a_disk_that_is_really_full_leaves_the_old_file(tmp_path: Path) -> None:
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)],
        check=False,
        capture_output=True,
    )
    if mount.returncode:
        pytest.skip("mounting needs root")
    try:
        path = tmp_path / "keys.json"
        durable.write_file(path, b"old")
        with pytest.raises(DurableError, match="no space left on device; free space") as caught:
            durable.write_file(path, b"n" * 200_000)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOSPC
        assert durable.read_file(path) == b"old"
        assert names(tmp_path) == {"keys.json"}
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


WRITER = """
    import pathlib, sys
    from finial.runtime import durable
    path, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    print("go", flush=True)
    while True:
        number += 1
        durable.write_file(path, b"%d:" % number * 20_000)
        print(number, flush=True)
"""


def test_a_writer_killed_at_any_point_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    rng = random.Random(20)
    number = 0
    for _ in range(8):
        with program(WRITER, str(path), str(number)) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            for _ in range(rng.randrange(4)):
                writer.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                writer.wait(rng.random() * 0.01)
            writer.kill()
            acknowledged = [int(line) for line in writer.stdout.read().split() if line.isdigit()]
        data = durable.read_file(path)
        if data is None:
            assert not acknowledged
            continue
        parts = set(data.decode().rstrip(":").split(":"))
        assert len(parts) == 1
        assert len(data) == len(b"%d:" % int(min(parts))) * 20_000
        # The last one told may have been overtaken by one that was not told any more.
        assert int(min(parts)) >= max([number, *acknowledged])
        number = int(min(parts))
    assert number > 0


def test_what_a_killed_writer_left_is_swept_by_the_next_lock(tmp_path: Path) -> None:
    (tmp_path / f".keys.json.0123{durable.TEMPORARY}").write_bytes(b"half")
    (tmp_path / ".keys.json.bak").write_bytes(b"the operator's")
    with FolderLock(tmp_path):
        assert names(tmp_path) == {".keys.json.bak", durable.LOCK_NAME}


def test_a_missing_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DurableError, match="gone/f: no such file or directory; create the folder"):
        durable.write_file(tmp_path / "gone" / "f", b"x")


HOLDER = """
    import pathlib, sys
    from finial.runtime.durable import FolderLock
    with FolderLock(pathlib.Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_second_process_on_one_folder_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with program(HOLDER, str(tmp_path)) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FolderLockedError) as caught:
            FolderLock(tmp_path).acquire()
        assert caught.value.pid == holder.pid
        assert str(caught.value) == (
            f"data folder {tmp_path} is in use by process {holder.pid}: "
            "stop that process, or give this one a data_dir of its own"
        )
        holder.kill()
    with FolderLock(tmp_path):
        assert (tmp_path / durable.LOCK_NAME).read_text() == f"{os.getpid()}\n"


def test_a_lock_is_free_again_after_its_release(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.acquire()
    with pytest.raises(FolderLockedError, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    first.release()
    with second:
        pass


def test_programs_that_we_start_do_not_keep_the_lock(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        lock.release()
        with FolderLock(tmp_path):
            child.kill()


def test_a_lock_file_with_nonsense_in_it_still_locks(tmp_path: Path) -> None:
    (tmp_path / durable.LOCK_NAME).write_bytes(b"\xff\xfe not a pid")
    with FolderLock(tmp_path):
        pass


def test_a_folder_that_is_missing_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(DurableError, match=r"cannot lock data folder .*gone: no such file"):
        FolderLock(tmp_path / "gone").acquire()


def test_a_lock_does_not_follow_a_planted_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / durable.LOCK_NAME).symlink_to(victim)
    with pytest.raises(DurableError, match="cannot lock data folder"):
        FolderLock(folder).acquire()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 512, "empty"),
        (b"{", "no valid JSON: Expecting property name"),
        (b'{"a": 1}}', "no valid JSON: Extra data at line 1 column 9"),
        (b"\xff\xfe\x00", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b"[1]", "no JSON object"),
    ],
)
def test_damaged_content_is_named_with_the_way_out(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "agent-data.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        durable.read_json(path)
    assert str(caught.value).startswith(f"{path} is damaged ({reason}")
    assert str(caught.value).endswith("): restore it from a backup")


def test_a_missing_file_is_no_error_and_a_huge_one_is(tmp_path: Path) -> None:
    assert durable.read_file(tmp_path / "gone") is None
    assert durable.read_json(tmp_path / "gone") is None
    (tmp_path / "huge").write_bytes(b"x" * 11)
    with pytest.raises(DamagedFileError, match="larger than 10 bytes"):
        durable.read_file(tmp_path / "huge", most=10)


def test_what_is_no_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DurableError, match="is a directory"):
        durable.read_file(tmp_path)


def test_folders_are_made_closed_to_others(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a")
    durable.make_folder(tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(DurableError, match="cannot create folder"):
        durable.make_folder(tmp_path / "file" / "b")
