"""The server's own SVID: always there, renewed at half of its life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from finial.server.issuance import ServerSvid
from finial.server.issuance.server_svid import ServerSvidError
from finial.server.signer.model import AuthorityKind
from finial.spiffe.trust_domain import TrustDomain
from tests.server.issuance.conftest import World

OWN = TrustDomain("example.org")


def svid(world: World) -> ServerSvid:
    return ServerSvid(OWN, issuer=world.issuer, clock=world.clock)


@asynccontextmanager
async def running(own: ServerSvid) -> AsyncIterator[None]:
    task = asyncio.create_task(own.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_is_the_servers_and_its_key_fits(world: World) -> None:
    own = svid(world)
    with pytest.raises(ServerSvidError, match="initializing"):
        own.identity()
    await own.start()
    identity = own.identity()
    leaf = x509.load_der_x509_certificate(identity.chain_der[0])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://example.org/spire/server"]
    key = load_der_private_key(identity.key_pkcs8, None)
    assert key.public_key() == leaf.public_key()
    assert world.issued.svids[0].spiffe_id == "spiffe://example.org/spire/server"


async def test_it_is_renewed_at_half_of_its_life_with_a_new_key(world: World) -> None:
    own = svid(world)
    await own.start()
    first = own.identity()
    async with running(own):
        await world.clock.advance(1799)
        assert own.identity() is first
        await world.clock.advance(2)
        assert own.identity().key_pkcs8 != first.key_pkcs8


async def test_it_is_renewed_when_somebody_asks(world: World) -> None:
    own = svid(world)
    await own.start()
    first = own.identity()
    async with running(own):
        own.renew()
        await world.clock.advance(0)
        assert own.identity() is not first


async def test_while_it_cannot_be_renewed_the_old_one_serves(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    own = svid(world)
    await own.start()
    first = own.identity()
    async with running(own):
        world.signers.down = True
        await world.clock.advance(1801)
        assert "server SVID cannot be renewed" in caplog.messages
        assert own.identity() is first
        world.signers.down = False
        await world.clock.advance(20)
        assert own.identity() is not first


async def test_without_an_issuer_there_is_no_start(world: World) -> None:
    world.signers.down = True
    with pytest.raises(ServerSvidError, match="down"):
        await svid(world).start()


async def test_it_keeps_no_authority_in_the_bundle(world: World) -> None:
    """It ends with the process: a restart without keys needs no root for it."""
    await svid(world).start()
    assert world.authorities.active(AuthorityKind.X509).signed_until == 0
