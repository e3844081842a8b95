"""The WIT authority: the same life as the JWT authority's, and none where it is switched off."""

import logging

import pytest

from finial.runtime.observe import Observer
from finial.server.authority import AuthorityError, AuthorityManager, AuthoritySettings, State
from finial.server.authority.journal import decode
from finial.server.signer.model import AuthorityKind, KeyType
from tests.server.authority.test_manager import HOUR, World, running

WIT = AuthorityKind.WIT


class WitWorld(World):
    """`wanted` is whether WIT-SVIDs are switched on for the next manager."""

    wanted: KeyType | None = KeyType.EC_P384

    def manager(self) -> AuthorityManager:
        return AuthorityManager(
            AuthoritySettings(wit_key_type=self.wanted),
            clock=self.clock,
            signers=self.signers,
            bundle=self.bundle,
            journals=self.journals,
            observer=Observer(logging.getLogger("finial.test")),
        )


@pytest.fixture
def world() -> WitWorld:
    return WitWorld()


async def test_a_new_server_has_a_wit_authority_of_its_own_and_publishes_it(
    world: WitWorld,
) -> None:
    manager = await world.started()
    active = manager.active(WIT)
    assert active.slot == "WIT-Signer-A"
    assert set(world.bundle.wit) == {active.id}
    assert active.id not in world.bundle.jwt
    (held,) = (each for each in await world.signers.authorities() if each.kind is WIT)
    assert (held.key_type, held.certificate) == (KeyType.EC_P384, b"")


async def test_its_successor_is_published_before_it_signs_and_the_old_one_leaves_a_day_later(
    world: WitWorld,
) -> None:
    manager = await world.started()
    first = manager.active(WIT)
    async with running(manager):
        await world.clock.advance(13 * HOUR)
        prepared = manager.state(WIT).prepared
        assert prepared is not None
        assert (prepared.slot, manager.active(WIT)) == ("WIT-Signer-B", first)
        assert set(world.bundle.wit) == {first.id, prepared.id}
        await world.clock.advance(8 * HOUR)
        assert manager.active(WIT).id == prepared.id
        assert first.id in world.bundle.wit
        await world.clock.advance(28 * HOUR)
        assert first.id not in world.bundle.wit


async def test_it_is_prepared_and_activated_by_hand(world: WitWorld) -> None:
    manager = await world.started()
    prepared = await manager.prepare(WIT)
    assert (await manager.activate(WIT, prepared.id)).id == manager.active(WIT).id == prepared.id


async def test_it_survives_a_restart(world: WitWorld) -> None:
    first = (await world.started()).active(WIT)
    assert (await world.started()).active(WIT).id == first.id


async def test_without_the_switch_there_is_none(world: WitWorld) -> None:
    world.wanted = None
    manager = await world.started()
    assert world.bundle.wit == {}
    assert [each for each in await world.signers.authorities() if each.kind is WIT] == []
    with pytest.raises(AuthorityError, match="WIT functionality is disabled"):
        manager.active(WIT)


async def test_switched_off_again_its_keys_leave_the_bundle_and_the_signers_at_once(
    world: WitWorld,
) -> None:
    manager = await world.started()
    await manager.prepare(WIT)
    assert len(world.bundle.wit) == 2
    others = set(world.bundle.jwt), set(world.bundle.x509)
    world.wanted = None
    await world.started()
    assert world.bundle.wit == {}
    assert (set(world.bundle.jwt), set(world.bundle.x509)) == others
    assert {each.kind for each in await world.signers.authorities()} == {
        AuthorityKind.X509,
        AuthorityKind.JWT,
    }
    assert decode(world.journals.data["authority/wit"]) == State()


async def test_switched_on_once_more_there_is_a_new_one(world: WitWorld) -> None:
    first = (await world.started()).active(WIT)
    world.wanted = None
    await world.started()
    world.wanted = KeyType.EC_P256
    second = (await world.started()).active(WIT)
    assert second.id != first.id
    assert set(world.bundle.wit) == {second.id}
