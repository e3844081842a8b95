import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from finial.attestors.selector import Selector
from finial.attestors.workload.accounts import Accounts
from finial.attestors.workload.interface import WorkloadAttestationError
from finial.attestors.workload.unix import (
    UnixAttestor,
    credential_lines,
    parse_credentials,
)
from finial.runtime.rpc import UnixCaller

STATUS = (
    "Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t77\n"
    "Uid:\t1000\t2000\t3000\t4000\nGid:\t100\t200\t300\t400\nFDSize:\t{fds}\n"
    "Groups:\t200 10 20 \nNStgid:\t77\n"
)
USERS = {2000: "builder"}
GROUPS = {200: "builders", 10: "wheel"}


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def process(pid: int = 77, uid: int = 2000, gid: int = 200) -> UnixCaller:
    """A process as the kernel noted it when it connected."""
    return UnixCaller(pid, uid, gid, None)


def fake_proc(folder: Path, pid: int = 77, fds: int = 64) -> Path:
    process = folder / str(pid)
    process.mkdir()
    (process / "status").write_text(STATUS.format(fds=fds))
    return folder


def attestor(folder: Path, time: Time | None = None, **settings: object) -> UnixAttestor:
    clock = time or Time()
    accounts = Accounts(clock, USERS.__getitem__, GROUPS.__getitem__)
    return UnixAttestor(settings, proc=folder, monotonic=clock, accounts=accounts)


def values(selectors: object) -> list[str]:
    assert isinstance(selectors, tuple)
    return [str(selector) for selector in selectors]


def test_effective_ids_and_all_groups_become_selectors_and_unknown_names_none(
    tmp_path: Path,
) -> None:
    found = values(attestor(fake_proc(tmp_path)).attest(process()))
    assert found == [
        "unix:uid:2000",
        "unix:user:builder",
        "unix:gid:200",
        "unix:group:builders",
        "unix:supplementary_gid:200",
        "unix:supplementary_group:builders",
        "unix:supplementary_gid:10",
        "unix:supplementary_group:wheel",
        "unix:supplementary_gid:20",
    ]


def test_this_process_is_known_by_what_the_kernel_says_of_it() -> None:
    found = values(UnixAttestor({}).attest(process(os.getpid(), os.geteuid(), os.getegid())))
    assert f"unix:uid:{os.geteuid()}" in found
    assert f"unix:gid:{os.getegid()}" in found
    for gid in os.getgroups():
        assert f"unix:supplementary_gid:{gid}" in found
    assert not [value for value in found if value.startswith(("unix:path", "unix:sha256"))]


def test_equal_callers_get_the_same_tuple_object(tmp_path: Path) -> None:
    fake_proc(tmp_path, 77, fds=64)
    fake_proc(tmp_path, 78, fds=256)
    one = attestor(tmp_path)
    assert one.attest(process()) is one.attest(process(78))


def test_names_are_asked_again_after_a_while(tmp_path: Path) -> None:
    time = Time()
    users = dict(USERS)
    accounts = Accounts(time, users.__getitem__, GROUPS.__getitem__)
    one = UnixAttestor({}, proc=fake_proc(tmp_path), monotonic=time, accounts=accounts)
    assert "unix:user:builder" in values(one.attest(process()))
    users[2000] = "renamed"
    assert "unix:user:builder" in values(one.attest(process()))
    time.now = 21.0
    assert "unix:user:renamed" in values(one.attest(process()))


def test_credentials_are_read_anew_on_every_call(tmp_path: Path) -> None:
    one = attestor(fake_proc(tmp_path))
    one.attest(process())
    changed = STATUS.format(fds=64).replace(" 10 20 ", " 20 ")
    (tmp_path / "77" / "status").write_text(changed)
    assert "unix:supplementary_gid:10" not in values(one.attest(process()))


@pytest.mark.parametrize("id_before", ["\t2000\t", "\t200\t"])
async def test_who_runs_as_another_than_connected_is_nobody(tmp_path: Path, id_before: str) -> None:
    # As when a process leaves its socket to a child and then runs a setuid program.
    changed = STATUS.format(fds=64).replace(id_before, "\t0\t")
    (fake_proc(tmp_path) / "77" / "status").write_text(changed)
    with pytest.raises(WorkloadAttestationError, match="changed since it connected"):
        attestor(tmp_path).attest(process())
    awaitable = attestor(tmp_path, discover_workload_path=True).attest(process())
    assert not isinstance(awaitable, tuple)
    with pytest.raises(WorkloadAttestationError, match="changed since it connected"):
        await awaitable


def test_a_process_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkloadAttestationError, match="cannot examine process 99"):
        attestor(tmp_path).attest(process(99))


@pytest.mark.parametrize(
    "status",
    [
        b"",
        b"Name:\tx\n",
        b"Name:\tx\nUid:\t1\t2\t3\t4\n",
        b"Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t1\t2\t3\t4\n",
    ],
)
def test_a_status_without_credentials_is_an_error(status: bytes) -> None:
    with pytest.raises(WorkloadAttestationError, match="no credentials"):
        credential_lines(status)


@pytest.mark.parametrize(
    "lines",
    [
        b"\nUid:\t1\nGid:\t1\t2\nGroups:\t",
        b"\nUid:\tx\ty\nGid:\t1\t2\nGroups:\t",
        b"\nUid:\t1\t2\nGid:\t1\t2\nGroups:\troot",
    ],
)
def test_malformed_credentials_are_an_error(lines: bytes) -> None:
    with pytest.raises(WorkloadAttestationError, match="malformed"):
        parse_credentials(lines)


def test_a_process_name_cannot_pose_as_a_credentials_line() -> None:
    # The kernel escapes line feeds in the name; what looks like a line is part of it.
    status = STATUS.format(fds=1).replace("sleep", "x\\nUid:\\t0\\t0\\t0\\t0")
    assert parse_credentials(credential_lines(status.encode())).uid == 2000


async def test_path_and_hash_are_of_the_program_that_runs() -> None:
    program = Path("/proc/self/exe").resolve()  # noqa: ASYNC240 - a link of the kernel's
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    awaitable = UnixAttestor({"discover_workload_path": True}).attest(
        process(os.getpid(), os.geteuid(), os.getegid())
    )
    assert not isinstance(awaitable, tuple)
    found = values(await awaitable)
    assert f"unix:path:{program}" in found
    assert f"unix:sha256:{digest}" in found


async def test_below_zero_the_size_limit_means_no_hash(tmp_path: Path) -> None:
    fake_proc(tmp_path)
    (tmp_path / "77" / "exe").symlink_to("/bin/true")
    one = attestor(tmp_path, discover_workload_path=True, workload_size_limit=-1)
    awaitable = one.attest(process())
    assert not isinstance(awaitable, tuple)
    found = values(await awaitable)
    assert "unix:path:/bin/true" in found
    assert not [value for value in found if "sha256" in value]


async def test_a_program_over_the_size_limit_fails_the_attestation(tmp_path: Path) -> None:
    fake_proc(tmp_path)
    program = tmp_path / "program"
    program.write_bytes(b"x" * 11)
    (tmp_path / "77" / "exe").symlink_to(program)
    one = attestor(tmp_path, discover_workload_path=True, workload_size_limit=10)
    awaitable = one.attest(process())
    assert not isinstance(awaitable, tuple)
    with pytest.raises(WorkloadAttestationError, match="larger than workload_size_limit"):
        await awaitable
    program.write_bytes(b"x" * 10)
    awaitable = one.attest(process())
    assert not isinstance(awaitable, tuple)
    assert await awaitable


async def test_hashing_leaves_the_loop_free(tmp_path: Path) -> None:
    fake_proc(tmp_path)
    os.mkfifo(tmp_path / "77" / "exe")  # reading it would block for ever
    one = attestor(tmp_path, discover_workload_path=True)
    awaitable = one.attest(process())
    assert not isinstance(awaitable, tuple)
    with pytest.raises(WorkloadAttestationError):  # a fifo is no link
        await asyncio.wait_for(awaitable, 5)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        UnixAttestor({"extra": 1})


def test_the_hosts_proc_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_PROC", str(fake_proc(tmp_path)))
    assert Selector("unix", "uid:2000") in (UnixAttestor({}).attest(process()))  # type: ignore[operator]
