"""An authority is tainted while documents are on their way: none of it leaves, and new ones do."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from finial.server.issuance import IssueError, JwtOrder, ServerSvid, WitOrder, X509Order
from finial.server.signer.model import AuthorityKind
from finial.spiffe.public_key import to_spki
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.signers import csr
from tests.fakes.waiting import eventually
from tests.server.issuance.conftest import World

WEB = SpiffeId.parse("spiffe://example.org/web")
KEY = to_spki(ec.generate_private_key(ec.SECP256R1()).public_key())


async def certificate(world: World) -> object:
    (made,) = await world.issuer.issue_x509([X509Order(kind="workload", spiffe_id=WEB, csr=csr())])
    return made


async def token(world: World) -> object:
    return await world.issuer.issue_jwt(JwtOrder(spiffe_id=WEB, audience=("a",)))


async def bound_token(world: World) -> object:
    order = WitOrder(spiffe_id=WEB, public_key=KEY, algorithm="ES256")
    (made,) = await world.issuer.issue_wit([order])
    return made


async def replaced(world: World, kind: AuthorityKind) -> str:
    """Prepare, activate and taint: the new authority."""
    old = world.authorities.active(kind).id
    new = (await world.authorities.prepare(kind)).id
    await world.authorities.activate(kind, new)
    await world.authorities.taint(kind, old)
    return new


@pytest.mark.parametrize(
    ("kind", "issue"),
    [
        (AuthorityKind.X509, certificate),
        (AuthorityKind.JWT, token),
        (AuthorityKind.WIT, bound_token),
    ],
)
async def test_what_was_signed_before_the_taint_and_not_handed_out_stays(
    world: World, kind: AuthorityKind, issue: Callable[[World], Awaitable[object]]
) -> None:
    async def distrust() -> None:
        await replaced(world, kind)

    world.issued.on_record = distrust
    outcome = await issue(world)
    assert isinstance(outcome, IssueError)
    assert "tainted meanwhile" in outcome.message
    world.issued.on_record = None
    assert not isinstance(await issue(world), IssueError)


async def test_the_server_replaces_its_own_svid_at_once(world: World) -> None:
    svid = ServerSvid(TrustDomain("example.org"), issuer=world.issuer, clock=world.clock)
    world.authorities.subscribe(svid.renew)
    await svid.start()

    def signer() -> str:
        leaf = x509.load_der_x509_certificate(svid.identity().chain_der[0])
        found = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        return (found.key_identifier or b"").hex()

    running = asyncio.create_task(svid.run())
    try:
        old = world.authorities.active(AuthorityKind.X509).id
        assert signer() == old
        new = await replaced(world, AuthorityKind.X509)
        await eventually(lambda: signer() == new)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
