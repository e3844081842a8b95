"""The agent's own identity, without a network: who attests when, and how often."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from cryptography import x509

from finial.agent.errors import AgentRejected, AttestationRefused
from finial.agent.storage import AgentData, DiskKeys
from finial.agent.sync.identity import AgentIdentity
from finial.agent.sync.server import Attested
from finial.agent.sync.trust import Trust
from finial.api.spire import types_pb2 as types
from finial.attestors.node.interface import AttestError, AttestReason
from finial.runtime.rpc import RpcError
from finial.runtime.rpc.status import DETAILS_KEY, pack_details
from tests.fakes.ca import FakeCa
from tests.fakes.clock import FakeClock
from tests.fakes.waiting import eventually, pass_time

if TYPE_CHECKING:
    from pathlib import Path

    from finial.spiffe.bundle import Bundle

AGENT = "spiffe://example.org/spire/agent/test/node"


class Attestor:
    """Evidence that can be shown as often as one likes."""

    type = "test"

    def __init__(self) -> None:
        self.error: AttestError | None = None

    async def payload(self) -> bytes:
        if self.error is not None:
            raise self.error
        return b"evidence"

    async def respond(self, challenge: bytes) -> bytes:
        return challenge


class Client:
    """The server, as far as an identity needs one."""

    def __init__(self, clock: FakeClock) -> None:
        self.ca = FakeCa(now=clock.time(), ttl=10**7)
        self._clock = clock
        self.attestations = 0
        self.renewals = 0
        self.reattestable = True
        self.ttl = 600
        self.error: RpcError | None = None

    async def attest(
        self, kind: str, payload: bytes, csr: bytes, respond: Any
    ) -> tuple[Attested, Bundle]:
        assert (kind, payload) == ("test", b"evidence")
        assert await respond(b"?") == b"?"
        self.attestations += 1
        return Attested(self._sign(csr), self.reattestable), self.ca.bundle()

    async def renew(self, csr: bytes) -> tuple[bytes, ...]:
        self.renewals += 1
        return self._sign(csr)

    def _sign(self, csr: bytes) -> tuple[bytes, ...]:
        if self.error is not None:
            raise self.error
        self.ca.now = self._clock.time()
        key: Any = x509.load_der_x509_csr(csr).public_key()
        return self.ca.issue(AGENT, ttl=self.ttl, csr_public_key=key).chain

    def reconnect(self) -> None:
        pass


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.client = Client(self.clock)
        self.attestor = Attestor()
        self.serving_until: float | None = None  # when the last workload's SVID expires
        self.identity = self.again()

    def again(self) -> AgentIdentity:
        """Return the identity as a new process would have it."""
        td = self.client.ca.trust_domain
        data = AgentData(self.folder)
        return AgentIdentity(
            trust_domain=td,
            attestor=self.attestor,
            client=cast("Any", self.client),
            trust=Trust(td, self.client.ca.bundle(), data),
            data=data,
            key_store=DiskKeys(self.folder),
            clock=self.clock,
            rng=random.Random(3),
            serving_until=lambda: self.serving_until,
        )


def refusal(reason: Any) -> RpcError:
    details = [types.PermissionDeniedDetails(reason=reason)]
    code = grpc.StatusCode.PERMISSION_DENIED
    return RpcError(code, "no", ((DETAILS_KEY, pack_details(code, "no", details)),))


UNAVAILABLE = RpcError(grpc.StatusCode.UNAVAILABLE, "away")
MUST_ATTEST = refusal(types.PermissionDeniedDetails.AGENT_NOT_ATTESTED)


async def test_many_refusals_at_once_lead_to_one_attestation(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.identity.establish()
    generation = lab.identity.generation
    again = await asyncio.gather(*(lab.identity.react(MUST_ATTEST, generation) for _ in range(5)))
    assert again == [True] * 5
    assert lab.client.attestations == 2


async def test_a_refusal_of_a_replaced_svid_says_nothing_about_its_successor(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path)
    lab.client.reattestable = False
    await lab.identity.establish()
    assert await lab.identity.react(MUST_ATTEST, lab.identity.generation - 1)
    assert lab.identity.svid is not None


async def test_an_attestor_that_can_attest_again_does_so_at_half_life(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.identity.establish()
    task = asyncio.create_task(lab.identity.run())
    await pass_time(lab.clock, 260, step=20)
    assert lab.client.attestations == 1
    await pass_time(lab.clock, 80, step=20)
    await eventually(lambda: lab.client.attestations == 2)
    assert lab.client.renewals == 0
    task.cancel()


async def test_after_attesting_again_the_old_date_of_renewal_is_void(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.identity.establish()
    task = asyncio.create_task(lab.identity.run())
    await pass_time(lab.clock, 200, step=20)
    await lab.identity.react(MUST_ATTEST, lab.identity.generation)
    await pass_time(lab.clock, 260, step=20)  # beyond the old date, before the new one
    assert lab.client.attestations == 2
    task.cancel()


async def test_a_disk_that_refuses_costs_neither_the_svid_nor_the_agent(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.client.reattestable = False
    await lab.identity.establish()
    first = lab.identity.svid
    task = asyncio.create_task(lab.identity.run())
    stored = (tmp_path / "agent-data.json").read_bytes()
    (tmp_path / "agent-data.json").unlink()
    (tmp_path / "agent-data.json" / "full").mkdir(parents=True)  # cannot be replaced by a file
    await pass_time(lab.clock, 400, step=5)
    await eventually(lambda: lab.client.renewals > 1)
    assert lab.identity.svid is first
    (tmp_path / "agent-data.json" / "full").rmdir()
    (tmp_path / "agent-data.json").rmdir()
    (tmp_path / "agent-data.json").write_bytes(stored)
    await pass_time(lab.clock, 60, step=5)
    await eventually(lambda: lab.identity.svid is not first)
    task.cancel()
    again = lab.again()
    again.load()
    assert again.svid == lab.identity.svid


async def test_without_any_svid_one_in_memory_is_better_than_none(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    (tmp_path / "agent-data.json" / "full").mkdir(parents=True)
    await lab.identity.establish()
    assert lab.identity.svid is not None


async def test_a_stored_svid_without_its_key_is_not_used(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.identity.establish()
    (tmp_path / "keys.json").unlink()
    again = lab.again()
    again.load()
    assert again.svid is None


async def test_a_stored_svid_past_its_end_is_not_used(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.identity.establish()
    await lab.clock.advance(600)
    again = lab.again()
    again.load()
    assert again.expired()


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN]
)
async def test_attestation_goes_on_until_the_server_has_judged(
    tmp_path: Path, code: grpc.StatusCode
) -> None:
    lab = Lab(tmp_path)
    lab.client.error = RpcError(code, "away")
    task = asyncio.create_task(lab.identity.establish())
    await pass_time(lab.clock, 300, step=10)
    assert lab.client.attestations > 5
    lab.client.error = RpcError(grpc.StatusCode.PERMISSION_DENIED, "you are not of us")
    await pass_time(lab.clock, 60, step=10)
    with pytest.raises(AttestationRefused, match="you are not of us"):
        await task


async def test_evidence_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.attestor.error = AttestError(AttestReason.INTERNAL, "not yet")
    task = asyncio.create_task(lab.identity.establish())
    await pass_time(lab.clock, 30, step=5)
    lab.attestor.error = None
    await pass_time(lab.clock, 60, step=5)
    await asyncio.wait_for(task, 5)


async def test_an_expired_svid_is_replaced_by_attesting_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    await lab.identity.establish()
    lab.client.error = UNAVAILABLE
    task = asyncio.create_task(lab.identity.run())
    await pass_time(lab.clock, 700, step=10)
    assert lab.identity.expired()
    lab.client.error = None
    await pass_time(lab.clock, 60, step=5)
    await eventually(lambda: not lab.identity.expired())
    task.cancel()


async def test_one_that_cannot_attest_again_gives_up_with_its_svid(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.client.reattestable = False
    await lab.identity.establish()
    with pytest.raises(AgentRejected):
        await lab.identity.react(MUST_ATTEST, lab.identity.generation)
    assert AgentData(tmp_path).svid is None


async def test_a_node_without_an_svid_is_back_within_5_s_of_its_server(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.client.error = UNAVAILABLE
    task = asyncio.create_task(lab.identity.establish())
    await pass_time(lab.clock, 300, step=10)
    lab.client.error = None
    await pass_time(lab.clock, 5, step=1)
    await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("away_until", [40, 44, 46, 50, 53])
async def test_an_outage_shorter_than_the_rest_of_its_life_costs_no_agent(
    tmp_path: Path, away_until: int
) -> None:
    lab = Lab(tmp_path)
    lab.client.reattestable, lab.client.ttl = False, 60
    await lab.identity.establish()
    first = lab.identity.svid
    lab.client.error = UNAVAILABLE
    task = asyncio.create_task(lab.identity.run())
    await pass_time(lab.clock, away_until, step=1)
    lab.client.error = None
    await pass_time(lab.clock, 59 - away_until, step=1)
    await eventually(lambda: lab.identity.svid is not first)
    task.cancel()


async def test_a_clock_that_runs_ahead_for_a_while_costs_no_agent(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.client.reattestable = False
    await lab.identity.establish()
    first = lab.identity.svid
    lab.serving_until = lab.clock.time() + 10_000
    lab.client.error = UNAVAILABLE
    task = asyncio.create_task(lab.identity.run())
    await pass_time(lab.clock, 10, step=5)
    lab.clock.jump(5000)
    await pass_time(lab.clock, 60, step=5)
    lab.clock.jump(-5000)
    lab.client.error = None
    await pass_time(lab.clock, 400, step=5)
    await eventually(lambda: lab.identity.svid is not first)
    task.cancel()


async def test_an_svid_that_expired_by_the_nodes_clock_stays_on_disk(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.client.reattestable = False
    await lab.identity.establish()
    lab.client.error = UNAVAILABLE
    lab.clock.jump(700)
    with pytest.raises(AgentRejected, match="has expired"):
        await asyncio.wait_for(lab.identity.run(), 5)
    lab.clock.jump(-700)
    again = lab.again()
    again.load()
    assert not again.expired()
