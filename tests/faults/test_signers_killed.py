"""kill -9 of the processes that hold the authorities' keys."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import grpc
import pytest

from finial.spiffe import jwt_svid
from finial.spiffe.bundle import Bundle, X509Authority
from finial.spiffe.x509_svid import verify_chain
from finial.spiffe.x509_svid.der import split_certificates
from tests.fakes.daemon import comes_true
from tests.fakes.grpcio import workload
from tests.fakes.lab import Lab, whole_lab
from tests.fakes.server_process import DOMAIN

PROGRAM = b"finial.server.signer"


def parent_of(pid: int) -> int:
    """From /proc; 0 when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(") ")[2].split()[1])


def signers_of(lab: Lab, known: set[int]) -> set[int]:
    """The server's signers that live: its children, theirs, and orphans among the known ones."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if PROGRAM in command:
            found.add(int(entry.name))
    family = {lab.server.pid} | (found & known)
    while more := {pid for pid in found if parent_of(pid) in family} - family:
        family |= more
    return family - {lab.server.pid}


async def issues(lab: Lab) -> Bundle:
    """Wait until both kinds are issued again; return the bundle that proves them."""

    async def minted() -> tuple[tuple[bytes, ...], str] | None:
        try:
            return await lab.mint("/m"), await lab.mint_token("/m")
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE, error  # noqa: PT017
            return None

    documents = await comes_true(minted, lambda made: made is not None, told=lab.server.log)
    assert documents is not None
    chain, token = documents
    bundle = await lab.bundle()
    now = lab.reach.clock.time()
    verify_chain(chain, bundle, now)
    jwt_svid.validate(token, bundle, "test", now)
    return bundle


@pytest.mark.parametrize("key_manager", ["disk", "memory"])
async def test_issuing_goes_on_when_signers_are_killed(key_manager: str) -> None:
    async with whole_lab(key_manager=key_manager, signers=2) as lab:
        before = await lab.bundle()
        known: set[int] = set()

        async def both() -> set[int]:
            return signers_of(lab, known)

        for victims in (1, 1, 2):
            known |= await comes_true(both, lambda pids: len(pids) == 2, told=lab.server.log)
            for pid in sorted(signers_of(lab, known))[:victims]:
                os.kill(pid, signal.SIGKILL)
            after = await issues(lab)
            if victims == 1:
                # Its sibling has the same keys.
                assert after.x509_authorities == before.x509_authorities
        kept = after.x509_authorities == before.x509_authorities
        assert kept is (key_manager == "disk")
        assert set(before.x509_authorities) <= set(after.x509_authorities)
        await lab.add("/later")
        await lab.serving("/db", "/later")
        await agent_serves_what_verifies(lab)


async def agent_serves_what_verifies(lab: Lab) -> None:
    """What a workload gets is proven by the very bundle that it gets with it."""
    async with workload(lab.agent.socket) as client:
        answer = await client.call("FetchX509SVID")
    now = lab.reach.clock.time()
    for svid in answer.svids:
        authorities = tuple(map(X509Authority.from_der, split_certificates(svid.bundle)))
        verify_chain(split_certificates(svid.x509_svid), Bundle(DOMAIN, authorities), now)
