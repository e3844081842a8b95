"""SVIDs that their authority's end cuts short are counted, and told once an authority."""

import logging

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finial.server.issuance import IssuedJwt, IssuedWit, IssuedX509, JwtOrder, WitOrder, X509Order
from finial.server.issuance.plan import Lifetimes, validity
from finial.server.signer.model import AuthorityKind
from finial.spiffe.public_key import to_spki
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.signers import csr
from tests.server.issuance.conftest import World

WEB = SpiffeId.parse("spiffe://example.org/web")
HOUR = 3600
PUBLIC_KEY = to_spki(ec.generate_private_key(ec.SECP256R1()).public_key())


def test_a_validity_says_by_how_much_it_was_cut() -> None:
    whole, cut = validity(60, 1000, 900.5), validity(600, 1000, 900.5)
    assert whole is not None
    assert cut is not None
    assert (whole.effective, whole.cut) == (60, 0)
    assert (cut.effective, cut.cut) == (100, 500)


def test_what_every_authority_covers_is_the_effective_ttl() -> None:
    lives = Lifetimes(longest_x509=86_400, longest_jwt=86_400, guaranteed=14_400)
    assert [lives.surely(ttl) for ttl in (0, 60, 14_400, 20_000)] == [0, 60, 14_400, 14_400]


async def issue(world: World, ttl: int) -> None:
    (one,) = await world.issuer.issue_x509(
        [X509Order(kind="workload", spiffe_id=WEB, csr=csr(), ttl=ttl)]
    )
    two = await world.issuer.issue_jwt(JwtOrder(spiffe_id=WEB, audience=("a",), ttl=ttl))
    (three,) = await world.issuer.issue_wit(
        [WitOrder(spiffe_id=WEB, public_key=PUBLIC_KEY, algorithm="ES256", ttl=ttl)]
    )
    assert isinstance(one, IssuedX509)
    assert isinstance(two, IssuedJwt)
    assert isinstance(three, IssuedWit)


async def test_each_kind_is_counted_and_told_once_an_authority(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await issue(world, 60)
    assert not world.issuer.cuts.count
    assert not caplog.records
    await world.clock.advance(20 * HOUR)
    await issue(world, 6 * HOUR)
    await issue(world, 6 * HOUR)
    assert world.issuer.cuts.count == {"x509": 2, "jwt": 2, "wit": 2}
    assert [said.getMessage().count("live shorter") for said in caplog.records] == [1, 1, 1]
    new = (await world.authorities.prepare(AuthorityKind.X509)).id
    await world.authorities.activate(AuthorityKind.X509, new)
    await world.clock.advance(20 * HOUR)
    (made,) = await world.issuer.issue_x509(
        [X509Order(kind="workload", spiffe_id=WEB, csr=csr(), ttl=6 * HOUR)]
    )
    assert isinstance(made, IssuedX509)
    assert world.issuer.cuts.count["x509"] == 3
    assert len(caplog.records) == 4


async def test_a_refused_order_is_not_counted(world: World) -> None:
    await world.clock.advance(20 * HOUR)
    await world.issuer.issue_x509(
        [X509Order(kind="workload", spiffe_id=WEB, csr=b"nonsense", ttl=6 * HOUR)]
    )
    assert not world.issuer.cuts.count
