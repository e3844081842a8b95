"""Rotation by an operator's hand, also with the server restarted between any two steps."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from finial.runtime.observe import Observer
from finial.server.authority import AuthorityError, AuthorityManager, AuthoritySettings, State
from finial.server.authority.journal import decode
from finial.server.authority.rotator import DAY, Authority, find, shown_old
from finial.server.datastore.errors import OutcomeUnknown, StoreFull
from finial.server.registry.errors import AuthorityNotThere, AuthorityTainted, AuthorityUntainted
from finial.server.signer.model import AuthorityKind
from tests.fakes.authority import FakeJournals, FakeOwnBundle
from tests.fakes.clock import FakeClock
from tests.fakes.signers import FakeSigners

X509, JWT = AuthorityKind.X509, AuthorityKind.JWT
HOUR = 3600


class InterruptedBundle(FakeOwnBundle):
    """One whose answer to a taint can be lost, and where a taint or revocation can hang."""

    def __init__(self) -> None:
        super().__init__()
        self.unanswered = False
        self.hanging = asyncio.Event()
        self.hangs = False

    async def taint(self, kind: AuthorityKind, authority_id: str) -> None:
        await self._hang()
        await super().taint(kind, authority_id)
        if self.unanswered:
            raise OutcomeUnknown("test database", "connection reset")

    async def revoke(self, kind: AuthorityKind, authority_id: str) -> None:
        await self._hang()
        await super().revoke(kind, authority_id)

    async def _hang(self) -> None:
        if self.hangs:
            self.hanging.set()
            await asyncio.Event().wait()


class Server:
    """A server's authorities; `restarted` is the same server in its next life."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.signers = FakeSigners()
        self.bundle = InterruptedBundle()
        self.journals = FakeJournals()
        self.told = 0
        self.manager = self._new()

    def _new(self) -> AuthorityManager:
        manager = AuthorityManager(
            AuthoritySettings(),
            clock=self.clock,
            signers=self.signers,
            bundle=self.bundle,
            journals=self.journals,
            observer=Observer(logging.getLogger("finial.test")),
        )
        manager.subscribe(self._hear)
        return manager

    def _hear(self) -> None:
        self.told += 1

    async def restarted(self, *, keys_lost: bool = False) -> None:
        if keys_lost:
            self.signers.forget()
        self.manager = self._new()
        await self.manager.start()

    async def replace(self) -> tuple[str, str]:
        old = self.manager.active(X509).id
        new = (await self.manager.prepare(X509)).id
        await self.manager.activate(X509, new)
        return old, new

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.manager.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def held(self) -> set[str]:
        return {each.id for each in await self.signers.authorities() if each.kind is X509}

    def noted(self) -> State:
        return decode(self.journals.data["authority/x509"])


def shown(server: Server) -> tuple[Authority | None, ...]:
    """What an operator sees; one that was given up before it signed leaves the bundle unseen."""
    state = server.manager.state(X509)
    return state.active, state.prepared, shown_old(state)


@pytest.fixture
async def server() -> Server:
    server = Server()
    await server.manager.start()
    return server


@pytest.mark.parametrize("restarting", [False, True], ids=["in-one-life", "with-restarts"])
async def test_a_forced_rotation_is_the_same_with_a_restart_between_any_two_steps(
    server: Server, restarting: bool
) -> None:
    async def step() -> None:
        if restarting:
            before = shown(server)
            await server.restarted()
            assert shown(server) == before

    old = server.manager.active(X509).id
    await server.manager.prepare(X509)
    await step()
    new = (await server.manager.prepare(X509)).id
    await step()
    await server.manager.activate(X509, new)
    await step()
    active, prepared, last = shown(server)
    assert active is not None
    assert last is not None
    assert (active.id, prepared, last.id) == (new, None, old)
    await server.manager.taint(X509, old)
    await step()
    assert server.bundle.x509[old].tainted
    assert await server.held() == {new}
    await server.manager.revoke(X509, old)
    await step()
    assert old not in server.bundle.x509
    left = find(server.manager.state(X509), old)
    assert left is not None
    assert (left.tainted, left.revoked) == (True, True)


async def test_rotation_by_the_clock_goes_on_after_forced_steps(server: Server) -> None:
    await server.clock.advance(6 * HOUR)
    old, new = await server.replace()
    await server.manager.taint(X509, old)
    await server.manager.revoke(X509, old)
    async with server.running():
        await server.clock.advance(12 * HOUR)
        prepared = server.manager.state(X509).prepared
        assert prepared is not None
        await server.clock.advance(8 * HOUR)
        assert server.manager.active(X509) == prepared
        assert server.manager.state(X509).old[0].id == new
        # A day after the end of each, nobody needs it.
        await server.clock.advance(3 * DAY)
    known = {each.id for each in server.manager.state(X509).old}
    assert not known & {old, new, prepared.id}
    assert not server.bundle.x509.keys() & {old, new, prepared.id}


async def test_a_tainted_authority_stays_published_until_it_is_revoked_or_expires(
    server: Server,
) -> None:
    """Although its key is gone and nothing that it signed may be left: agents are to hear of it."""
    old, _ = await server.replace()
    await server.manager.taint(X509, old)
    async with server.running():
        await server.clock.advance(HOUR)
    assert server.bundle.x509[old].tainted


async def test_who_holds_an_svid_of_a_tainted_authority_is_told_to_get_another(
    server: Server,
) -> None:
    old, _ = await server.replace()
    assert server.told == 0
    await server.manager.taint(X509, old)
    assert server.told == 1


async def test_a_tainted_authority_signs_nothing_more(server: Server) -> None:
    old, new = await server.replace()
    await server.manager.taint(X509, old)
    assert not server.manager.is_trusted(X509, old)
    assert server.manager.is_trusted(X509, new)
    with pytest.raises(AuthorityError, match="is tainted"):
        await server.manager.reserve(X509, old, int(server.clock.time()) + 60)


async def test_a_taint_that_was_noted_and_not_published_is_published_at_the_next_start(
    server: Server,
) -> None:
    old, _ = await server.replace()
    server.bundle.full = True
    with pytest.raises(StoreFull):
        await server.manager.taint(X509, old)
    server.bundle.full = False
    await server.restarted()
    assert server.bundle.x509[old].tainted


async def test_a_taint_that_could_not_be_published_can_be_asked_for_again(server: Server) -> None:
    old, _ = await server.replace()
    server.bundle.full = True
    with pytest.raises(StoreFull):
        await server.manager.taint(X509, old)
    server.bundle.full = False
    await server.manager.taint(X509, old)
    assert server.bundle.x509[old].tainted
    with pytest.raises(AuthorityTainted):
        await server.manager.taint(X509, old)


async def test_a_revocation_that_was_noted_and_not_published_is_published_at_the_next_start(
    server: Server,
) -> None:
    old, _ = await server.replace()
    await server.manager.taint(X509, old)
    server.bundle.full = True
    with pytest.raises(StoreFull):
        await server.manager.revoke(X509, old)
    server.bundle.full = False
    await server.restarted()
    assert old not in server.bundle.x509


async def test_a_key_that_a_signer_did_not_forget_is_forgotten_at_the_next_start(
    server: Server,
) -> None:
    old, new = await server.replace()
    server.signers.down = True
    await server.manager.taint(X509, old)
    server.signers.down = False
    assert await server.held() == {old, new}
    await server.restarted()
    assert await server.held() == {new}


async def test_an_authority_whose_key_was_lost_can_be_distrusted(server: Server) -> None:
    lost = server.manager.active(X509).id
    await server.manager.reserve(X509, lost, int(server.clock.time()) + HOUR)
    await server.restarted(keys_lost=True)
    assert server.manager.active(X509).id != lost
    await server.manager.taint(X509, lost)
    await server.manager.revoke(X509, lost)
    assert lost not in server.bundle.x509


async def test_an_untainted_authority_is_not_revoked_and_nothing_is_noted(server: Server) -> None:
    old, _ = await server.replace()
    before = server.noted()
    with pytest.raises(AuthorityUntainted):
        await server.manager.revoke(X509, old)
    assert server.noted() == before
    assert old in server.bundle.x509


@pytest.mark.parametrize("place", ["active", "prepared"])
async def test_only_an_old_authority_is_distrusted(server: Server, place: str) -> None:
    await server.manager.prepare(X509)
    found = getattr(server.manager.state(X509), place)
    for act in (server.manager.taint, server.manager.revoke):
        with pytest.raises(AuthorityError, match="unexpected authority ID"):
            await act(X509, found.id)
    assert not server.bundle.x509[found.id].tainted


async def test_distrust_of_a_key_tells_nobody_to_get_another_certificate(server: Server) -> None:
    old = server.manager.active(JWT).id
    new = (await server.manager.prepare(JWT)).id
    await server.manager.activate(JWT, new)
    await server.manager.taint(JWT, old)
    assert server.told == 0
    assert server.bundle.jwt[old].tainted


@pytest.mark.parametrize("known", ["untainted", "tainted"])
async def test_a_revocation_that_the_database_has_forgotten_is_made_again(
    server: Server, known: str
) -> None:
    old, _ = await server.replace()
    untainted = server.bundle.x509[old]
    await server.manager.taint(X509, old)
    tainted = server.bundle.x509[old]
    await server.manager.revoke(X509, old)
    async with server.running():
        server.bundle.x509[old] = untainted if known == "untainted" else tainted
        server.manager.database_went_back()
        await server.clock.advance(0)
        assert old not in server.bundle.x509


async def test_a_taint_that_the_database_has_forgotten_is_made_again(server: Server) -> None:
    old, _ = await server.replace()
    untainted = server.bundle.x509[old]
    await server.manager.taint(X509, old)
    async with server.running():
        server.bundle.x509[old] = untainted
        server.manager.database_went_back()
        await server.clock.advance(0)
        assert server.bundle.x509[old].tainted


async def test_a_tainted_authority_is_revoked_where_the_bundle_has_not_heard_of_the_taint(
    server: Server,
) -> None:
    old, _ = await server.replace()
    server.bundle.full = True
    with pytest.raises(StoreFull):
        await server.manager.taint(X509, old)
    server.bundle.full = False
    await server.manager.revoke(X509, old)
    assert old not in server.bundle.x509


async def test_a_second_revocation_is_refused_in_the_words_for_a_revocation(
    server: Server,
) -> None:
    old, _ = await server.replace()
    await server.manager.taint(X509, old)
    await server.manager.revoke(X509, old)
    with pytest.raises(AuthorityNotThere, match="no root CA found"):
        await server.manager.revoke(X509, old)


async def test_a_taint_whose_outcome_is_unknown_is_finished_when_it_is_asked_for_again(
    server: Server,
) -> None:
    old, new = await server.replace()
    server.bundle.unanswered = True
    with pytest.raises(OutcomeUnknown):
        await server.manager.taint(X509, old)
    assert await server.held() == {old, new}
    await server.manager.taint(X509, old)
    assert await server.held() == {new}
    assert server.told == 1
    with pytest.raises(AuthorityTainted):
        await server.manager.taint(X509, old)


async def test_a_taint_whose_outcome_is_unknown_is_finished_while_the_server_runs(
    server: Server,
) -> None:
    old, new = await server.replace()
    server.bundle.unanswered = True
    async with server.running():
        with pytest.raises(OutcomeUnknown):
            await server.manager.taint(X509, old)
        await server.clock.advance(0)
        assert await server.held() == {new}
        assert server.told == 1


@pytest.mark.parametrize("act", ["taint", "revoke"])
async def test_distrust_that_is_cancelled_before_it_is_published_is_published_by_the_server(
    server: Server, act: str
) -> None:
    old, new = await server.replace()
    if act == "revoke":
        await server.manager.taint(X509, old)
    told = server.told
    server.bundle.hangs = True
    async with server.running():
        call = asyncio.create_task(getattr(server.manager, act)(X509, old))
        await server.bundle.hanging.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.bundle.hangs = False
        await server.clock.advance(0)
        left = server.bundle.x509.get(old)
        assert left is None if act == "revoke" else left is not None and left.tainted
        assert await server.held() == {new}
        assert server.told == told + 1


async def test_distrust_that_is_refused_gives_nothing_to_recover_from(server: Server) -> None:
    old, newer = await server.replace()
    async with server.running():
        with pytest.raises(AuthorityUntainted):
            await server.manager.revoke(X509, old)
        await server.manager.taint(X509, old)
        with pytest.raises(AuthorityTainted):
            await server.manager.taint(X509, old)
        with pytest.raises(AuthorityError):
            await server.manager.taint(X509, newer)
        await server.clock.advance(10)
        assert server.told == 1


async def test_a_key_whose_authority_another_has_tainted_is_forgotten_by_the_server(
    server: Server,
) -> None:
    old, new = await server.replace()
    await server.bundle.taint(X509, old)
    async with server.running():
        with pytest.raises(AuthorityTainted):
            await server.manager.taint(X509, old)
        await server.clock.advance(0)
        assert await server.held() == {new}
