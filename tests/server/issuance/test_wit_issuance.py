"""WIT-SVIDs: planned, signed, recorded, and only then answered."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from finial.server.issuance import IssuedWit, IssueError, IssueErrorKind, WitOrder
from finial.server.signer.model import AuthorityKind
from finial.spiffe import wit_svid
from finial.spiffe.bundle import Bundle
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from tests.server.issuance.conftest import World

NOW = 1_800_000_000
WEB = SpiffeId.parse("spiffe://example.org/web")
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
SPKI = KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def order(**changes: object) -> WitOrder:
    fields: dict[str, object] = {"spiffe_id": WEB, "public_key": SPKI, "algorithm": "ES256"}
    return WitOrder(**(fields | changes))  # type: ignore[arg-type]


async def issued(world: World, **changes: object) -> IssuedWit:
    (outcome,) = await world.issuer.issue_wit([order(**changes)])
    assert isinstance(outcome, IssuedWit)
    return outcome


async def test_a_wit_svid_is_of_the_published_authority_and_names_the_workloads_key(
    world: World,
) -> None:
    made = await issued(world)
    bundle = Bundle(TrustDomain("example.org"), wit_authorities=tuple(world.bundle.wit.values()))
    svid = wit_svid.validate(made.token, bundle, NOW)
    assert svid.id == WEB
    assert svid.key == KEY
    assert svid.key_id == world.authorities.active(AuthorityKind.WIT).id
    assert (made.issued_at, made.expires_at) == (svid.issued_at, svid.expires_at)


async def test_its_lifetime_is_an_x509_svids(world: World) -> None:
    assert (await issued(world)).expires_at == NOW + 3600
    assert (await issued(world, ttl=60)).expires_at == NOW + 60
    assert (await issued(world, ttl=10**6)).expires_at == NOW + 86_400


async def test_it_never_outlives_its_authority(world: World) -> None:
    end = world.authorities.active(AuthorityKind.WIT).not_after
    await world.clock.advance(86_400 - 600)
    assert (await issued(world)).expires_at == end


async def test_it_is_on_record_before_it_is_answered(world: World) -> None:
    await world.issuer.issue_wit([order(entry_id="e1", agent_id="spiffe://example.org/a")])
    (record,) = world.issued.svids
    assert (record.kind, record.entry_id, record.agent_id) == (
        "wit",
        "e1",
        "spiffe://example.org/a",
    )
    assert (record.issued_at, record.expires_at) == (NOW, NOW + 3600)
    assert len(record.serial_or_jti) == 22


async def test_what_cannot_be_recorded_is_not_answered(world: World) -> None:
    world.issued.full = True
    (outcome,) = await world.issuer.issue_wit([order()])
    assert outcome == IssueError(IssueErrorKind.UNAVAILABLE, "the datastore cannot serve now")


async def test_each_order_of_a_batch_has_its_own_outcome_and_only_what_was_signed_is_recorded(
    world: World,
) -> None:
    outcomes = await world.issuer.issue_wit(
        [order(), order(public_key=b"x"), order(algorithm="RS256"), order(ttl=60)]
    )
    kinds = [each.kind if isinstance(each, IssueError) else "token" for each in outcomes]
    assert kinds == ["token", IssueErrorKind.MALFORMED_KEY, IssueErrorKind.KEY_UNFIT, "token"]
    assert [each.expires_at for each in world.issued.svids] == [NOW + 3600, NOW + 60]


async def test_an_id_that_no_workload_may_have_is_refused_by_the_signer(world: World) -> None:
    agent = SpiffeId.parse("spiffe://example.org/spire/agent/x")
    (outcome,) = await world.issuer.issue_wit([order(spiffe_id=agent)])
    assert isinstance(outcome, IssueError)
    assert outcome.kind is IssueErrorKind.REFUSED_BY_POLICY


@pytest.mark.parametrize("cause", ["down", "expired"])
async def test_without_signer_or_authority_it_is_unavailable(world: World, cause: str) -> None:
    world.signers.down = cause == "down"
    if cause == "expired":
        await world.clock.advance(86_400)
    (outcome,) = await world.issuer.issue_wit([order()])
    assert isinstance(outcome, IssueError)
    assert outcome.kind is IssueErrorKind.UNAVAILABLE


async def test_no_orders_are_no_call(world: World) -> None:
    assert await world.issuer.issue_wit([]) == []
    assert world.signers.signed == []


async def test_the_token_is_not_shown_by_its_repr(world: World) -> None:
    made = await issued(world)
    assert made.token not in repr(made)
