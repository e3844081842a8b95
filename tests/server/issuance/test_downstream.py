"""Authorities of downstream servers: what is issued, recorded, and refused."""

from collections.abc import Callable

import pytest
from cryptography import x509

from finial.server.issuance import DownstreamOrder, IssuedX509, IssueError, IssueErrorKind
from finial.server.registry.model import IssuedSvid
from finial.server.signer.model import AuthorityKind
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.signers import FakeSigners, csr, settings
from tests.server.issuance.conftest import World, world_of

NOW = 1_800_000_000
CALLER = SpiffeId.parse("spiffe://example.org/nested")
CSR = csr()
X509 = AuthorityKind.X509


@pytest.fixture
async def world() -> World:
    return await world_of(FakeSigners(settings(downstream_authorities=True)))


def order(csr: bytes = CSR, ttl: int = 0) -> DownstreamOrder:
    return DownstreamOrder(csr=csr, caller=CALLER, ttl=ttl, entry_id="e1")


async def issued(world: World, ttl: int = 0) -> IssuedX509:
    outcome = await world.issuer.issue_downstream(order(ttl=ttl))
    assert isinstance(outcome, IssuedX509)
    return outcome


async def test_it_is_issued_by_the_active_authority_and_recorded(world: World) -> None:
    made = await issued(world, ttl=600)
    (der,) = made.chain
    ca = x509.load_der_x509_certificate(der)
    active = world.authorities.active(X509)
    ca.verify_directly_issued_by(world.bundle.x509[active.id].cert)
    assert int(ca.not_valid_before_utc.timestamp()) == NOW - 10
    assert int(ca.not_valid_after_utc.timestamp()) == made.not_after == NOW + 600
    assert world.issued.svids == [
        IssuedSvid(
            kind="x509-ca",
            serial_or_jti=str(ca.serial_number),
            spiffe_id="spiffe://example.org",
            entry_id="e1",
            agent_id="",
            expires_at=NOW + 600,
            issued_at=NOW,
        )
    ]
    assert active.signed_until <= made.not_after + 600
    assert world.authorities.active(X509).signed_until >= made.not_after


@pytest.mark.parametrize("ttl", [0, 86_400, 10**9])
async def test_it_ends_with_the_authority_that_signed_it_at_the_latest(
    world: World, ttl: int
) -> None:
    await world.clock.advance(3600)
    made = await issued(world, ttl)
    assert made.not_after == world.authorities.active(X509).not_after == NOW + 86_400
    assert world.issuer.cuts.count["x509"] == 0


async def test_one_that_cannot_be_recorded_is_not_handed_out(world: World) -> None:
    world.issued.full = True
    outcome = await world.issuer.issue_downstream(order())
    assert isinstance(outcome, IssueError)
    assert outcome.kind is IssueErrorKind.UNAVAILABLE


@pytest.mark.parametrize(
    ("csr_of", "kind"),
    [
        (lambda: b"", IssueErrorKind.MALFORMED_CSR),
        (lambda: b"nonsense", IssueErrorKind.MALFORMED_CSR),
        (lambda: csr(broken=True), IssueErrorKind.BAD_CSR_SIGNATURE),
    ],
)
async def test_a_bad_request_gets_nothing(
    world: World, csr_of: Callable[[], bytes], kind: IssueErrorKind
) -> None:
    outcome = await world.issuer.issue_downstream(order(csr_of()))
    assert isinstance(outcome, IssueError)
    assert outcome.kind is kind
    assert not world.issued.svids


async def test_signers_that_have_it_switched_off_refuse_whatever_the_issuer_says() -> None:
    world = await world_of(FakeSigners())
    outcome = await world.issuer.issue_downstream(order())
    assert isinstance(outcome, IssueError)
    assert outcome.kind is IssueErrorKind.REFUSED_BY_POLICY
    assert not world.issued.svids


async def test_what_was_signed_while_its_authority_was_tainted_does_not_leave(
    world: World,
) -> None:
    old = world.authorities.active(X509).id
    new = (await world.authorities.prepare(X509)).id

    async def distrust() -> None:
        await world.authorities.activate(X509, new)
        await world.authorities.taint(X509, old)

    world.issued.on_record = distrust
    outcome = await world.issuer.issue_downstream(order())
    assert isinstance(outcome, IssueError)
    assert "tainted meanwhile" in outcome.message
    world.issued.on_record = None
    assert isinstance(await world.issuer.issue_downstream(order()), IssuedX509)
