"""Authorities carried through their lives, over fake surroundings and a fake clock."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from finial.api.finial import signer_pb2
from finial.runtime.observe import Observer
from finial.server.authority import AuthorityError, AuthorityManager, AuthoritySettings, State
from finial.server.authority.journal import JournalError, decode
from finial.server.datastore.errors import StoreFull
from finial.server.signer.errors import SignerUnavailable
from finial.server.signer.model import AuthorityKind
from tests.fakes.authority import FakeJournals, FakeOwnBundle
from tests.fakes.clock import FakeClock
from tests.fakes.signers import FakeSigners

X509, JWT = AuthorityKind.X509, AuthorityKind.JWT
HOUR = 3600


class World:
    """Everything round a manager that outlives it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.signers = FakeSigners()
        self.bundle = FakeOwnBundle()
        self.journals = FakeJournals()

    def manager(self) -> AuthorityManager:
        return AuthorityManager(
            AuthoritySettings(),
            clock=self.clock,
            signers=self.signers,
            bundle=self.bundle,
            journals=self.journals,
            observer=Observer(logging.getLogger("finial.test")),
        )

    async def started(self) -> AuthorityManager:
        manager = self.manager()
        await manager.start()
        return manager

    def noted(self, kind: AuthorityKind) -> State:
        return decode(self.journals.data[f"authority/{kind.value}"])


@pytest.fixture
def world() -> World:
    return World()


@asynccontextmanager
async def running(manager: AuthorityManager) -> AsyncIterator[None]:
    task = asyncio.create_task(manager.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_new_server_has_one_authority_of_each_kind_and_it_is_published(
    world: World,
) -> None:
    manager = await world.started()
    x509, jwt = manager.active(X509), manager.active(JWT)
    assert (x509.slot, jwt.slot) == ("x509-CA-A", "JWT-Signer-A")
    assert set(world.bundle.x509) == {x509.id}
    assert set(world.bundle.jwt) == {jwt.id}
    assert x509.not_after - world.clock.time() == 24 * HOUR
    assert world.clock.time() - x509.not_before == 10
    assert world.bundle.jwt[jwt.id].expires_at == jwt.not_after
    assert world.noted(X509) == manager.state(X509)


async def test_before_the_start_there_is_no_authority(world: World) -> None:
    with pytest.raises(AuthorityError, match="server is initializing"):
        world.manager().active(X509)


async def test_rotation_goes_by_the_clock(world: World) -> None:
    manager = await world.started()
    first = manager.active(X509)
    async with running(manager):
        await world.clock.advance(12 * HOUR)
        prepared = manager.state(X509).prepared
        assert prepared is not None
        assert prepared.slot == "x509-CA-B"
        assert set(world.bundle.x509) == {first.id, prepared.id}
        assert manager.active(X509) == first
        await world.clock.advance(8 * HOUR)
        assert manager.active(X509) == prepared
        assert manager.state(X509).old == (first,)
        assert manager.active(JWT).slot == "JWT-Signer-B"


async def test_a_clock_that_jumps_is_noticed_within_ten_seconds(world: World) -> None:
    manager = await world.started()
    first = manager.active(X509)
    async with running(manager):
        world.clock.jump(25 * HOUR)
        await world.clock.advance(10)
        active = manager.active(X509)
        assert active != first
        assert active.not_after > world.clock.time()
        world.clock.jump(-25 * HOUR)
        await world.clock.advance(10)
        assert manager.active(X509) == active


async def test_thirty_days_never_leave_the_bundle_without_the_active_or_long(
    world: World,
) -> None:
    manager = await world.started()
    seen = set()
    async with running(manager):
        for _ in range(30 * 24):
            world.clock.jump(HOUR)
            await world.clock.advance(10)
            for kind, published in ((X509, world.bundle.x509), (JWT, world.bundle.jwt)):
                active = manager.active(kind)
                await manager.reserve(kind, active.id, int(world.clock.time()) + HOUR)
                assert active.id in published
                assert active.not_after > world.clock.time()
                assert len(published) <= 3
            seen.add(manager.active(X509).id)
    assert len(seen) >= 30


async def test_a_new_authority_is_noted_then_published_and_only_then_signs(world: World) -> None:
    manager = await world.started()
    world.bundle.full = True
    with pytest.raises(StoreFull):
        await manager.prepare(X509)
    noted = world.noted(X509).prepared
    assert noted is not None
    assert manager.state(X509).prepared is None
    with pytest.raises(AuthorityError, match="only Prepared"):
        await manager.activate(X509, noted.id)
    world.bundle.full = False
    again = await world.started()  # as after a crash at that point
    assert again.state(X509).prepared == noted
    assert noted.id in world.bundle.x509


async def test_a_prepared_authority_whose_key_was_overwritten_in_vain_is_never_activated(
    world: World,
) -> None:
    manager = await world.started()
    overwritten = await manager.prepare(X509)
    world.bundle.full = True
    with pytest.raises(StoreFull):
        await manager.prepare(X509)
    world.bundle.full = False
    assert manager.state(X509).prepared is None
    with pytest.raises(AuthorityError, match="only Prepared"):
        await manager.activate(X509, overwritten.id)
    async with running(manager):
        await world.clock.advance(21 * HOUR)
    active = manager.active(X509)
    assert active.slot == overwritten.slot
    assert active.id in {each.id for each in await world.signers.authorities()}
    assert overwritten.id not in world.bundle.x509


@pytest.mark.parametrize("place", ["prepared", "old"])
async def test_what_a_slot_held_is_noted_as_lost_before_a_key_is_made_in_it(
    world: World, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = await world.started()
    found, prepared = manager.active(X509), await manager.prepare(X509)
    if place == "prepared":
        found = prepared
    else:
        await manager.activate(X509, prepared.id)
    world.signers.down = True
    with pytest.raises(SignerUnavailable):
        await manager.prepare(X509)
    assert world.noted(X509) == manager.state(X509)
    assert manager.state(X509).prepared is None
    assert [(each.id, each.lost) for each in manager.state(X509).old] == [(found.id, True)]
    assert "key of an authority is lost" not in caplog.messages


async def test_no_key_is_made_in_a_slot_that_could_not_be_given_up(world: World) -> None:
    manager = await world.started()
    prepared = await manager.prepare(X509)
    world.journals.full = True
    with pytest.raises(StoreFull):
        await manager.prepare(X509)
    world.journals.full = False
    await manager.activate(X509, prepared.id)
    assert prepared.id in {each.id for each in await world.signers.authorities()}


async def test_an_authority_that_cannot_be_noted_does_not_sign(world: World) -> None:
    manager = await world.started()
    first = manager.active(JWT)
    prepared = await manager.prepare(JWT)
    world.journals.full = True
    with pytest.raises(StoreFull):
        await manager.activate(JWT, prepared.id)
    assert manager.active(JWT) == first


async def test_only_the_prepared_authority_can_be_activated(world: World) -> None:
    manager = await world.started()
    with pytest.raises(AuthorityError, match="only Prepared"):
        await manager.activate(X509, manager.active(X509).id)
    prepared = await manager.prepare(X509)
    with pytest.raises(AuthorityError, match="unexpected authority ID"):
        await manager.activate(X509, manager.active(X509).id)
    assert (await manager.activate(X509, prepared.id)).id == prepared.id
    assert manager.active(X509) == prepared


async def test_a_restart_with_the_keys_goes_on_with_the_same_authorities(world: World) -> None:
    before = await world.started()
    await before.prepare(X509)
    log = list(world.bundle.log)
    after = await world.started()
    assert [after.state(kind) for kind in (X509, JWT)] == [
        before.state(kind) for kind in (X509, JWT)
    ]
    assert set(world.bundle.log) == set(log)


async def test_a_restart_without_the_keys_begins_anew_and_keeps_what_is_needed(
    world: World,
) -> None:
    before = await world.started()
    used, unused = before.active(X509), before.active(JWT)
    await before.reserve(X509, used.id, int(world.clock.time()) + HOUR)
    world.signers.forget()
    after = await world.started()
    assert after.active(X509).id != used.id
    assert set(world.bundle.x509) == {used.id, after.active(X509).id}
    assert set(world.bundle.jwt) == {after.active(JWT).id}
    assert unused.id not in world.bundle.jwt
    async with running(after):
        await world.clock.advance(HOUR + 600 + 120 + 10)
    assert set(world.bundle.x509) == {after.active(X509).id}


async def test_however_often_a_server_restarts_its_bundle_stays_short(world: World) -> None:
    for _ in range(20):
        world.signers.forget()
        await world.started()
        assert len(world.bundle.x509) <= 3
        assert len(world.bundle.jwt) <= 3


async def test_keys_lost_while_running_are_replaced_at_once(world: World) -> None:
    manager = await world.started()
    first = manager.active(X509)
    recovered: list[str] = []
    manager.subscribe(lambda: recovered.append(manager.active(X509).id))
    async with running(manager):
        await world.clock.advance(11)
        assert recovered == []
        world.signers.forget()
        manager.signers_restarted()
        await world.clock.advance(0)
        assert recovered == [manager.active(X509).id]
        assert manager.active(X509).id != first.id
        held = {each.id for each in await world.signers.authorities()}
        assert held == {manager.active(X509).id, manager.active(JWT).id}


async def test_what_fails_is_tried_again_at_the_next_look(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    manager = await world.started()
    first = manager.active(X509)
    async with running(manager):
        world.signers.down = True
        await world.clock.advance(21 * HOUR)
        assert manager.active(X509) == first
        assert "authority cannot be maintained; trying again" in caplog.messages
        world.signers.down = False
        await world.clock.advance(10)
        assert manager.active(X509) != first


async def test_a_recovery_that_fails_is_tried_again(world: World) -> None:
    manager = await world.started()
    first = manager.active(X509)
    async with running(manager):
        world.signers.forget()
        world.signers.down = True
        manager.signers_restarted()
        await world.clock.advance(1)
        assert manager.active(X509) == first
        world.signers.down = False
        await world.clock.advance(10)
        assert manager.active(X509).id != first.id


async def test_what_the_database_has_forgotten_it_is_told_again(world: World) -> None:
    manager = await world.started()
    bundle, journals = world.bundle, world.journals
    older = dict(journals.data), dict(bundle.x509), dict(bundle.jwt)
    await manager.prepare(X509)
    async with running(manager):
        journals.data, bundle.x509, bundle.jwt = older[0], older[1], {}
        manager.database_went_back()
        await world.clock.advance(0)
        assert world.noted(X509) == manager.state(X509)
        prepared = manager.state(X509).prepared
        assert prepared is not None
        assert set(bundle.x509) == {manager.active(X509).id, prepared.id}
        assert set(bundle.jwt) == {manager.active(JWT).id}


async def test_what_was_forgotten_while_the_database_was_full_is_told_later(world: World) -> None:
    manager = await world.started()
    async with running(manager):
        world.journals.data.clear()
        world.journals.full = True
        manager.database_went_back()
        await world.clock.advance(1)
        world.journals.full = False
        await world.clock.advance(10)
        assert world.noted(X509) == manager.state(X509)


async def test_a_start_without_signers_fails(world: World) -> None:
    world.signers.down = True
    with pytest.raises(SignerUnavailable):
        await world.started()


async def test_a_damaged_journal_stops_the_start(world: World) -> None:
    world.journals.data["authority/x509"] = b"{"
    with pytest.raises(JournalError):
        await world.started()


async def test_signing_is_noted_ahead_and_rarely(world: World) -> None:
    manager = await world.started()
    active = manager.active(JWT)
    writes = world.journals.writes
    now = int(world.clock.time())
    for second in range(600):
        await manager.reserve(JWT, active.id, now + 300 + second)
        noted = world.noted(JWT).active
        assert noted is not None
        assert noted.signed_until >= now + 300 + second
    assert world.journals.writes - writes == 1
    await manager.reserve(JWT, active.id, now + 300 + 601)
    assert world.journals.writes - writes == 2


async def test_many_reservations_at_once_are_one_note(world: World) -> None:
    manager = await world.started()
    active, writes = manager.active(X509), world.journals.writes
    end = int(world.clock.time()) + HOUR
    await asyncio.gather(*(manager.reserve(X509, active.id, end) for _ in range(50)))
    assert world.journals.writes - writes == 1


async def test_an_authority_that_is_gone_signs_nothing(world: World) -> None:
    manager = await world.started()
    with pytest.raises(AuthorityError, match="is gone"):
        await manager.reserve(X509, "unknown", int(world.clock.time()) + HOUR)


async def test_an_authority_retired_in_between_is_still_noted(world: World) -> None:
    manager = await world.started()
    first = manager.active(X509)
    await manager.activate(X509, (await manager.prepare(X509)).id)
    end = int(world.clock.time()) + HOUR
    await manager.reserve(X509, first.id, end)
    assert world.noted(X509).old[0].signed_until >= end


async def test_a_pruned_authoritys_key_is_dropped(world: World) -> None:
    manager = await world.started()
    given_up = await manager.prepare(X509)
    await manager.prepare(X509)
    async with running(manager):
        await world.clock.advance(10)
    assert given_up.id not in world.bundle.x509
    held = [each.id for each in await world.signers.authorities()]
    assert given_up.id not in held


async def test_kinds_have_slots_of_their_own(world: World) -> None:
    await world.started()
    kinds = {each.slot: each.kind for each in await world.signers.authorities()}
    assert kinds == {"x509-CA-A": X509, "JWT-Signer-A": JWT}
    assert X509.wire == signer_pb2.X509
