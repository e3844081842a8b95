"""Real signer processes: their work, their deaths, and what they keep to themselves."""

import asyncio
import logging
import os
import re
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from cryptography import x509

from finial.api.finial import signer_pb2
from finial.runtime.clock import SystemClock
from finial.server.signer.errors import SignerRefused, SignerStartError, SignerUnavailable
from finial.server.signer.model import AuthorityKind, AuthorityRef, KeyType
from finial.server.signer.pool import SignerPool
from tests.fakes.signers import csr, settings
from tests.fakes.waiting import eventually
from tests.server.signer.conftest import alive, running_pool
from tests.server.signer.test_signing_policy import NOW, jwt_order, order

CA_SLOT = "x509-CA-A"


async def new_ca(pool: SignerPool, slot: str = CA_SLOT) -> AuthorityRef:
    return await pool.generate(AuthorityKind.X509, slot, KeyType.EC_P256, NOW - 10, NOW + 86_400)


def issued_by(result: signer_pb2.X509Result, ca: AuthorityRef) -> bool:
    made = x509.load_der_x509_certificate(result.certificate)
    made.verify_directly_issued_by(x509.load_der_x509_certificate(ca.certificate))
    return True


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


async def test_certificates_and_tokens_come_from_the_signers(pool: SignerPool) -> None:
    ca = await new_ca(pool)
    key = await pool.generate(
        AuthorityKind.JWT, "JWT-Signer-A", KeyType.EC_P256, NOW - 10, NOW + 86_400
    )
    (certificate,) = await pool.sign_x509(ca.id, [order()])
    (token,) = await pool.sign_jwt(key.id, [jwt_order()])
    assert issued_by(certificate, ca)
    assert token.token.count(".") == 2
    assert await pool.authorities() == [key, ca]


async def test_authorities_of_downstream_servers_come_from_every_signer_or_from_none() -> None:
    """A sibling has the policy of the signer that started it."""
    wanted = signer_pb2.DownstreamOrder(csr=csr(), not_before=NOW - 10, not_after=NOW + 600)
    for on in (True, False):
        async with running_pool(downstream_authorities=on) as pool:
            await eventually(lambda pool=pool: pool.size == 2)  # type: ignore[misc]
            ca = await new_ca(pool)
            results = await pool.sign_downstream(ca.id, [wanted] * 64)
            assert [bool(each.certificate) for each in results] == [on] * 64
            assert [each.HasField("refusal") for each in results] == [not on] * 64


async def test_nothing_ordered_is_nothing_signed(pool: SignerPool) -> None:
    assert await pool.sign_x509("any", []) == []


async def test_a_large_batch_comes_back_in_order_and_from_both_signers(pool: SignerPool) -> None:
    ca = await new_ca(pool)
    spent = [_nanoseconds(pid) for pid in pool.pids]
    wanted = [order(spiffe_id=f"spiffe://example.org/w{number}") for number in range(500)]
    results = await pool.sign_x509(ca.id, wanted)
    found = [x509.load_der_x509_certificate(each.certificate) for each in results]
    names = [
        each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value[0].value
        for each in found
    ]
    assert names == [each.spiffe_id for each in wanted]
    assert len({each.serial_number for each in found}) == 500
    assert len(pool.pids) == 2
    for pid, before in zip(pool.pids, spent, strict=True):
        assert _nanoseconds(pid) - before > 10_000_000  # of about 100 ms in all


def _nanoseconds(pid: int) -> int:
    """Time on a processor so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


async def test_callers_at_the_same_moment_share_frames(pool: SignerPool) -> None:
    ca = await new_ca(pool)
    sent_before = sum(link._last_id for link in pool._links)
    await asyncio.gather(*(pool.sign_x509(ca.id, [order()]) for _ in range(40)))
    assert sum(link._last_id for link in pool._links) - sent_before <= 6


async def test_every_signer_knows_a_new_key_before_it_is_asked_for_it(pool: SignerPool) -> None:
    for round_ in range(10):
        ca = await new_ca(pool, slot=("x509-CA-A", "x509-CA-B")[round_ % 2])
        results = await pool.sign_x509(ca.id, [order()] * 8)
        assert all(issued_by(each, ca) for each in results)


async def test_a_dropped_authority_signs_no_more(pool: SignerPool) -> None:
    ca = await new_ca(pool)
    await pool.drop(CA_SLOT, "another")
    assert await pool.sign_x509(ca.id, [order()])
    await pool.drop(CA_SLOT, ca.id)
    for _ in range(4):
        with pytest.raises(SignerRefused, match="no key of authority"):
            await pool.sign_x509(ca.id, [order()])


async def test_signers_ignore_the_signals_of_a_terminal(pool: SignerPool) -> None:
    ca = await new_ca(pool)
    pids = pool.pids
    for pid in pids:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os.kill(pid, number)
    await pool.sign_x509(ca.id, [order()] * 8)
    assert pool.pids == pids
    assert all(os.getsid(pid) != os.getsid(0) for pid in pids)


async def test_signers_write_no_core_files(pool: SignerPool) -> None:
    for pid in pool.pids:
        limits = process_file(pid, "limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into signers")
async def test_signers_inherit_nothing_of_the_server(pool: SignerPool, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w"):
        async with running_pool() as later:
            for pid in (*pool.pids, *later.pids):
                environment = process_file(pid, "environ").read_bytes().split(b"\0")
                names = {each.split(b"=")[0] for each in environment if each}
                assert names <= {b"PYTHONPATH", b"LC_CTYPE"}
                files = [str(each.readlink()) for each in process_file(pid, "fd").iterdir()]
                kinds = sorted({each.split(":")[0] for each in files})
                assert kinds == ["/dev/null", "pipe", "socket"]
                assert len(files) == 5  # input, output, complaints; server, one sibling


def process_file(pid: int, name: str) -> Path:
    return Path(f"/proc/{pid}/{name}")


async def test_a_signer_that_dies_is_replaced_and_no_caller_notices(pool: SignerPool) -> None:
    ca = await new_ca(pool)
    _, sibling = pool.pids
    batch = asyncio.create_task(pool.sign_x509(ca.id, [order()] * 500))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    kill(sibling)
    assert all(issued_by(each, ca) for each in await batch)
    await eventually(lambda: pool.size == 2)
    assert sibling not in pool.pids
    assert all(issued_by(each, ca) for each in await pool.sign_x509(ca.id, [order()] * 64))


@pytest.mark.parametrize("processes", [2, 3])
async def test_keys_in_memory_outlive_the_keeper_in_a_sibling(processes: int) -> None:
    async with running_pool(processes=processes) as pool:
        ca = await new_ca(pool)
        keeper, *siblings = pool.pids
        restarts: list[int] = []
        pool.subscribe(lambda: restarts.append(1))
        kill(keeper)
        results = await pool.sign_x509(ca.id, [order()] * 100)
        assert all(issued_by(each, ca) for each in results)
        await eventually(lambda: pool.size == processes)
        assert pool.pids[0] == siblings[0]
        await eventually(lambda: not any(alive(pid) for pid in siblings[1:]))
        newer = await new_ca(pool, "x509-CA-B")
        for each in (ca, newer):
            results = await pool.sign_x509(each.id, [order()] * 20)
            assert all(issued_by(result, each) for result in results)
        assert restarts == []


async def test_keys_in_memory_end_with_the_last_signer_and_that_is_said(
    pool: SignerPool, caplog: pytest.LogCaptureFixture
) -> None:
    ca = await new_ca(pool)
    restarted = asyncio.Event()
    pool.subscribe(restarted.set)
    for pid in pool.pids:
        kill(pid)
    await restarted.wait()
    await eventually(lambda: pool.size == 2)
    with pytest.raises(SignerRefused, match="no key"):
        await pool.sign_x509(ca.id, [order()])
    assert "the keys of all authorities ended with the signers" in caplog.messages
    newer = await new_ca(pool)
    assert issued_by((await pool.sign_x509(newer.id, [order()]))[0], newer)


async def test_keys_on_disk_are_back_after_the_last_signer_died(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    async with running_pool(keys_path=path) as pool:
        ca = await new_ca(pool)
        dead = pool.pids
        for pid in dead:
            kill(pid)
        await eventually(lambda: not {*dead} & {*pool.pids})
        # Asked for while perhaps no signer runs: it waits for one.
        results = await pool.sign_x509(ca.id, [order()] * 100)
        assert all(issued_by(each, ca) for each in results)
        await eventually(lambda: pool.size == 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with running_pool(keys_path=path) as pool:
        assert await pool.authorities() == [ca]
        assert issued_by((await pool.sign_x509(ca.id, [order()]))[0], ca)


async def test_without_signers_work_is_refused_once_none_can_be_started(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    async with running_pool(keys_path=path) as pool:
        ca = await new_ca(pool)
        path.write_text("{")
        for pid in pool.pids:
            kill(pid)
        with pytest.raises(SignerUnavailable):
            await pool.sign_x509(ca.id, [order()])


async def test_a_closed_pool_leaves_no_process_and_answers_who_waits() -> None:
    async with running_pool() as pool:
        ca = await new_ca(pool)
        pids = pool.pids
        waiting = asyncio.create_task(pool.sign_x509(ca.id, [order()] * 500))
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(SignerUnavailable):
            await waiting
        with pytest.raises(SignerUnavailable):
            await pool.sign_x509(ca.id, [order()])
        await eventually(lambda: not any(alive(pid) for pid in pids))


async def test_signers_end_when_their_server_is_killed() -> None:
    script = (
        "import asyncio, os, signal\n"
        "from tests.fakes.signers import settings\n"
        "from finial.runtime.clock import SystemClock\n"
        "from finial.server.signer.pool import SignerPool\n"
        "async def main():\n"
        "    pool = SignerPool(settings(), clock=SystemClock())\n"
        "    await pool.start()\n"
        "    print(*pool.pids, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    output, _ = await server.communicate()
    pids = [int(word) for word in output.split()]
    assert len(pids) == 2
    await eventually(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize(
    ("content", "advice"),
    [('{"keys": {}}', "finial server import spire"), ("{", "restore it from a backup")],
)
async def test_a_keys_file_that_is_refused_stops_the_start(
    tmp_path: Path, content: str, advice: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    path.chmod(0o600)
    pool = SignerPool(settings(keys_path=path), clock=SystemClock())
    with pytest.raises(SignerStartError, match=advice):
        await pool.start()
    await pool.close()
    assert path.read_text() == content


async def test_what_a_signer_refuses_it_says_by_itself(
    pool: SignerPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="finial")
    ca = await new_ca(pool)
    foreign = order(spiffe_id="spiffe://other.org/web")
    (result,) = await pool.sign_x509(ca.id, [foreign])
    assert result.refusal.code == signer_pb2.Refusal.POLICY
    await eventually(lambda: "signer refused to sign" in caplog.messages)
    (line,) = [each for each in caplog.records if each.message == "signer refused to sign"]
    assert line.levelno == logging.WARNING
    assert line.__dict__["data"]["spiffe_id"] == "spiffe://other.org/web"
    assert line.__dict__["data"]["code"] == "POLICY"


async def test_bad_requests_of_callers_are_no_alarm(
    pool: SignerPool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="finial")
    ca = await new_ca(pool)
    await pool.sign_x509(ca.id, [order(csr=csr(broken=True))])
    await eventually(lambda: "signer refused to sign" in caplog.messages)
    (line,) = [each for each in caplog.records if each.message == "signer refused to sign"]
    assert line.levelno == logging.INFO


async def test_no_reply_of_a_signer_holds_a_key(pool: SignerPool) -> None:
    """Whoever has the link can ask for everything there is: no answer has a place for a key."""
    ca = await new_ca(pool)
    assert ca.certificate
    reachable = _fields(signer_pb2.Reply.DESCRIPTOR, set())
    assert not any("private" in name for name in reachable)


def _fields(message: object, seen: set[str]) -> set[str]:
    for field in message.fields:  # type: ignore[attr-defined]
        if field.full_name not in seen:
            seen.add(field.full_name)
            if field.message_type is not None:
                _fields(field.message_type, seen)
    return seen


async def test_garbage_on_the_link_ends_the_signer_and_not_the_server(pool: SignerPool) -> None:
    ca = await new_ca(pool)
    keeper = pool.pids[0]
    pool._links[0]._socket.send(b"\xff" * 64)
    await eventually(lambda: not alive(keeper))
    assert all(issued_by(each, ca) for each in await pool.sign_x509(ca.id, [order()] * 8))


async def test_a_signer_started_by_a_stranger_gets_no_keys(pool: SignerPool) -> None:
    """The API process can have a signer started, but the end with the keys is never its own."""
    await new_ca(pool)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        request = signer_pb2.Request(spawn=signer_pb2.SpawnSignerProcess())
        reply = await pool._links[0].ask(request, [theirs.fileno()])
        assert reply is not None
        pid = reply.spawned.pid
        theirs.close()
        ours.setblocking(False)
        listing = signer_pb2.Request(id=1, list_authorities=signer_pb2.ListAuthorities())
        payload = listing.SerializeToString()
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, len(payload).to_bytes(4, "big") + payload)
        answer = signer_pb2.Reply.FromString((await loop.sock_recv(ours, 65_536))[4:])
        assert len(answer.authorities.authorities) == 1
    await eventually(lambda: not alive(pid))
