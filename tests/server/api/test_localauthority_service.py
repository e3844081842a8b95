"""The LocalAuthority service: what an operator can do with the authorities, and hears of it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from finial.api.spire.server import localauthority_pb2 as wire
from finial.api.spire.server.localauthority_pb2_grpc import LocalAuthorityStub
from finial.runtime.rpc import Channel, RpcError
from finial.server.signer.model import AuthorityKind
from finial.spiffe.bundle import Bundle
from tests.fakes.server_api import ApiLab, open_lab

KINDS = ("X509", "JWT", "WIT")
EACH = pytest.mark.parametrize("kind", KINDS)
INVALID = grpc.StatusCode.INVALID_ARGUMENT
INTERNAL = grpc.StatusCode.INTERNAL
NAMES = {"X509": "X.509", "JWT": "JWT", "WIT": "WIT"}


class Operator:
    """The acts on authorities of one kind."""

    def __init__(self, channel: Channel, kind: str) -> None:
        self._stub: Any = LocalAuthorityStub(channel)
        self._kind = kind

    async def show(self) -> dict[str, wire.AuthorityState]:
        request = getattr(wire, f"Get{self._kind}AuthorityStateRequest")()
        found = await getattr(self._stub, f"Get{self._kind}AuthorityState")(request)
        return {field.name: value for field, value in found.ListFields()}

    async def ids(self) -> dict[str, str]:
        return {name: each.authority_id for name, each in (await self.show()).items()}

    async def prepare(self) -> wire.AuthorityState:
        request = getattr(wire, f"Prepare{self._kind}AuthorityRequest")()
        answer = await getattr(self._stub, f"Prepare{self._kind}Authority")(request)
        return answer.prepared_authority  # type: ignore[no-any-return]

    async def activate(self, authority_id: str) -> wire.AuthorityState:
        return (await self._act("Activate", authority_id)).activated_authority  # type: ignore[no-any-return]

    async def taint(self, authority_id: str) -> wire.AuthorityState:
        return (await self._act("Taint", authority_id)).tainted_authority  # type: ignore[no-any-return]

    async def revoke(self, authority_id: str) -> wire.AuthorityState:
        return (await self._act("Revoke", authority_id)).revoked_authority  # type: ignore[no-any-return]

    async def replace(self) -> tuple[str, str]:
        """Prepare and activate a successor: the old one and the new one."""
        old = (await self.ids())["active"]
        new = (await self.prepare()).authority_id
        await self.activate(new)
        return old, new

    async def _act(self, verb: str, authority_id: str) -> Any:
        request = getattr(wire, f"{verb}{self._kind}AuthorityRequest")(authority_id=authority_id)
        return await getattr(self._stub, f"{verb}{self._kind}Authority")(request)


@pytest.fixture
async def started(lab: ApiLab) -> ApiLab:
    await lab.authorities.start()
    return lab


async def refused(act: Awaitable[Any], code: grpc.StatusCode, text: str) -> None:
    with pytest.raises(RpcError) as error:
        await act
    assert (error.value.code(), error.value.details()) == (code, text)


def published(lab: ApiLab, kind: str) -> dict[str, bool]:
    """The authorities of the bundle that agents get, and whether they are tainted."""
    bundle = lab.reader.bundles.bundle_for(lab.ca.trust_domain)
    assert isinstance(bundle, Bundle)
    if kind == "X509":
        return {each.authority_id: each.tainted for each in bundle.x509_authorities}
    keys = bundle.jwt_authorities if kind == "JWT" else bundle.wit_authorities
    return {each.key_id: each.tainted for each in keys}


def sequence(lab: ApiLab) -> int:
    bundle = lab.reader.bundles.bundle_for(lab.ca.trust_domain)
    assert bundle is not None
    return bundle.sequence


@EACH
async def test_an_authority_goes_from_prepared_to_active_to_old_to_tainted_to_revoked(
    started: ApiLab, kind: str
) -> None:
    operator = Operator(started.local, kind)
    first = (await operator.ids())["active"]
    made = await operator.prepare()
    assert await operator.ids() == {"active": first, "prepared": made.authority_id}
    assert made.expires_at == int(started.clock.time()) + 86_400
    active = await operator.activate(made.authority_id)
    assert (active.authority_id, active.expires_at) == (made.authority_id, made.expires_at)
    assert await operator.ids() == {"active": made.authority_id, "old": first}
    before = sequence(started)
    tainted = await operator.taint(first)
    assert tainted.authority_id == first
    assert bool(tainted.expires_at) is (kind == "X509")
    assert published(started, kind)[first]
    assert not published(started, kind)[made.authority_id]
    assert sequence(started) == before + 1
    gone = await operator.revoke(first)
    assert (gone.authority_id, gone.expires_at) == (first, 0)
    assert first not in published(started, kind)
    assert sequence(started) == before + 2
    assert await operator.ids() == {"active": made.authority_id, "old": first}


@EACH
async def test_before_there_are_authorities_the_server_is_initializing(
    lab: ApiLab, kind: str
) -> None:
    operator = Operator(lab.local, kind)
    for act in (operator.show(), operator.prepare()):
        await refused(act, grpc.StatusCode.UNAVAILABLE, "server is initializing")


@EACH
async def test_one_that_was_prepared_gives_way_to_a_new_one_and_stays_published(
    started: ApiLab, kind: str
) -> None:
    operator = Operator(started.local, kind)
    one = (await operator.prepare()).authority_id
    two = (await operator.prepare()).authority_id
    assert (await operator.ids())["prepared"] == two
    assert {one, two} <= published(started, kind).keys()
    await refused(operator.activate(one), INVALID, "unexpected authority ID")


@EACH
async def test_only_the_prepared_one_is_activated(started: ApiLab, kind: str) -> None:
    operator = Operator(started.local, kind)
    await refused(operator.activate(""), INVALID, "no authority ID provided")
    await refused(operator.activate("nonsense"), INVALID, "unexpected authority ID")
    old, new = await operator.replace()
    await refused(operator.activate(new), INVALID, "unexpected authority ID")
    text = "only Prepared authorities can be activated: unsupported local authority status: OLD"
    await refused(operator.activate(old), INTERNAL, text)


@EACH
async def test_only_an_old_one_is_tainted_and_only_once(started: ApiLab, kind: str) -> None:
    operator = Operator(started.local, kind)
    await refused(operator.taint(""), INVALID, "no authority ID provided")
    await refused(operator.taint("nonsense"), INVALID, "unexpected authority ID")
    old, new = await operator.replace()
    await refused(operator.taint(new), INVALID, "unable to taint current local authority")
    prepared = (await operator.prepare()).authority_id
    text = "only Old local authorities can be tainted: unsupported local authority status: PREPARED"
    await refused(operator.taint(prepared), INVALID, text)
    await operator.taint(old)
    thing = "root CA" if kind == "X509" else "key"
    text = f"failed to taint {NAMES[kind]} authority: {thing} is already tainted"
    await refused(operator.taint(old), INTERNAL, text)


@EACH
async def test_only_a_tainted_one_is_revoked_and_only_once(started: ApiLab, kind: str) -> None:
    operator = Operator(started.local, kind)
    old, new = await operator.replace()
    prepared = (await operator.prepare()).authority_id
    own = kind == "X509"
    wrong = "only Old local authority can be revoked"
    unknown = f"no {NAMES[kind]} authority found with provided authority ID"
    for given, why in (
        ("", "no authority ID provided"),
        ("nonsense", wrong if own else unknown),
        (new, "unable to use current authority"),
        (prepared, wrong if own else "unable to use a prepared key"),
    ):
        await refused(operator.revoke(given), INVALID, f"invalid authority ID: {why}")
    thing = "root CA" if own else "key"
    what = f"failed to revoke {NAMES[kind]} authority"
    text = f"{what}: it is not possible to revoke an untainted {thing}"
    await refused(operator.revoke(old), INTERNAL, text)
    assert old in published(started, kind)
    await operator.taint(old)
    await operator.revoke(old)
    lost = "root CA found with provided subject key ID" if own else f"{kind} Key found with "
    lost += "" if own else "provided key ID"
    await refused(operator.revoke(old), INTERNAL, f"{what}: no {lost}")


async def test_an_authority_of_two_rotations_ago_can_be_tainted_while_it_is_published(
    started: ApiLab,
) -> None:
    operator = Operator(started.local, "X509")
    first, _ = await operator.replace()
    await operator.replace()
    await operator.taint(first)
    assert published(started, "X509")[first]


async def test_a_tainted_key_of_another_server_can_be_revoked(started: ApiLab) -> None:
    """As one that a downstream server published, or one of a server that is gone."""
    operator = Operator(started.local, "JWT")
    foreign = started.ca.key_id
    text = "failed to revoke JWT authority: it is not possible to revoke an untainted key"
    await refused(operator.revoke(foreign), INTERNAL, text)
    await started.bundles.taint(started.ca.trust_domain, "jwt", foreign)
    await operator.revoke(foreign)
    assert foreign not in published(started, "JWT")


async def test_what_a_signer_cannot_make_is_said(started: ApiLab) -> None:
    started.signers.down = True
    text = "failed to prepare X.509 authority: the signers are down"
    await refused(Operator(started.local, "X509").prepare(), INTERNAL, text)


async def test_there_is_no_authority_above_this_server(started: ApiLab) -> None:
    stub = LocalAuthorityStub(started.local)
    code, text = grpc.StatusCode.FAILED_PRECONDITION, "upstream authority is not configured"
    taint = wire.TaintX509UpstreamAuthorityRequest(subject_key_id="00")
    revoke = wire.RevokeX509UpstreamAuthorityRequest(subject_key_id="00")
    await refused(stub.TaintX509UpstreamAuthority(taint), code, text)
    await refused(stub.RevokeX509UpstreamAuthority(revoke), code, text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("JWT", "JWT functionality is disabled"),
        ("WIT", "WIT-SVID functionality is not yet implemented"),
    ],
)
async def test_what_is_switched_off_has_no_authorities(
    tmp_path: Path, kind: str, text: str
) -> None:
    async with open_lab(tmp_path, jwt_enabled=False, wit_enabled=False) as lab:
        operator = Operator(lab.local, kind)
        acts: tuple[Callable[[], Awaitable[Any]], ...] = (
            operator.show,
            operator.prepare,
            lambda: operator.activate("x"),
            lambda: operator.taint("x"),
            lambda: operator.revoke("x"),
        )
        for act in acts:
            await refused(act(), grpc.StatusCode.UNIMPLEMENTED, text)


async def test_an_agent_may_not_call_any_of_it(started: ApiLab) -> None:
    agent = await started.attest()
    operator = Operator(agent.channel, "X509")
    with pytest.raises(RpcError) as error:
        await operator.show()
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_who_hangs_from_a_revoked_authority_is_refused_from_the_next_call_on(
    started: ApiLab,
) -> None:
    """The lab's agents hang from an authority that is none of its manager's."""
    agent = await started.attest()
    held = started.ca.bundle().x509_authorities[0].authority_id
    await started.bundles.taint(started.ca.trust_domain, "x509", held)
    await started.reader.caught_up()
    stub = LocalAuthorityStub(agent.channel)
    with pytest.raises(RpcError) as error:
        await stub.GetX509AuthorityState(wire.GetX509AuthorityStateRequest())
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await started.bundles.revoke(started.ca.trust_domain, "x509", held)
    await started.reader.caught_up()
    with pytest.raises(RpcError) as error:
        await stub.GetX509AuthorityState(wire.GetX509AuthorityStateRequest())
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_tainted_authority_has_no_key_left_in_the_signers(started: ApiLab) -> None:
    operator = Operator(started.local, "X509")
    old, new = await operator.replace()
    await operator.taint(old)
    held = {
        each.id for each in await started.signers.authorities() if each.kind is AuthorityKind.X509
    }
    assert held == {new}
