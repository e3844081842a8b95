"""What is issued, what is recorded, and what is answered when neither can be."""

import base64
import json
import logging

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from finial.server.issuance import (
    IssuedJwt,
    IssuedX509,
    IssueError,
    IssueErrorKind,
    JwtOrder,
    X509Order,
)
from finial.server.registry.model import IssuedSvid
from finial.server.signer.model import AuthorityKind
from finial.spiffe.spiffe_id import SpiffeId
from tests.fakes.signers import csr
from tests.server.issuance.conftest import World

NOW = 1_800_000_000
WEB = SpiffeId.parse("spiffe://example.org/web")
CSR = csr(uri="spiffe://example.org/something/else")


def order(**changes: object) -> X509Order:
    fields: dict[str, object] = {"kind": "workload", "spiffe_id": WEB, "csr": CSR}
    return X509Order(**(fields | changes))  # type: ignore[arg-type]


def jwt_order(**changes: object) -> JwtOrder:
    fields: dict[str, object] = {"spiffe_id": WEB, "audience": ("db",)}
    return JwtOrder(**(fields | changes))  # type: ignore[arg-type]


async def issue(world: World, **changes: object) -> IssuedX509 | IssueError:
    (outcome,) = await world.issuer.issue_x509([order(**changes)])
    return outcome


async def issued(world: World, **changes: object) -> IssuedX509:
    outcome = await issue(world, **changes)
    assert isinstance(outcome, IssuedX509)
    return outcome


async def test_an_x509_svid_is_what_the_order_and_not_the_request_says(world: World) -> None:
    made = await issued(world, dns_names=("web.example.org",), ttl=60)
    assert len(made.chain) == 1
    leaf = x509.load_der_x509_certificate(made.chain[0])
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["web.example.org", "spiffe://example.org/web"]
    assert leaf.serial_number == made.serial
    assert int(leaf.not_valid_before_utc.timestamp()) == NOW - 10
    assert int(leaf.not_valid_after_utc.timestamp()) == made.not_after == NOW + 60
    root = world.bundle.x509[world.authorities.active(AuthorityKind.X509).id]
    leaf.verify_directly_issued_by(root.cert)


async def test_issuing_is_recorded(world: World) -> None:
    made = await issued(world, entry_id="e1", agent_id="spiffe://example.org/spire/agent/a")
    assert world.issued.svids == [
        IssuedSvid(
            kind="x509",
            serial_or_jti=str(made.serial),
            spiffe_id=WEB.uri,
            entry_id="e1",
            agent_id="spiffe://example.org/spire/agent/a",
            expires_at=NOW + 3600,
            issued_at=NOW,
        )
    ]


async def test_what_cannot_be_recorded_is_not_handed_out(world: World) -> None:
    world.issued.full = True
    outcome = await issue(world)
    assert isinstance(outcome, IssueError)
    assert outcome.kind is IssueErrorKind.UNAVAILABLE
    assert outcome.message == "the datastore cannot serve now"  # no path of the server's
    token = await world.issuer.issue_jwt(jwt_order())
    assert isinstance(token, IssueError)
    assert token.kind is IssueErrorKind.UNAVAILABLE


async def test_a_batch_has_one_outcome_an_order_and_records_the_good_ones(world: World) -> None:
    outcomes = await world.issuer.issue_x509(
        [order(entry_id="1"), order(csr=b"x"), order(entry_id="3")]
    )
    assert [type(each) for each in outcomes] == [IssuedX509, IssueError, IssuedX509]
    assert [each.entry_id for each in world.issued.svids] == ["1", "3"]
    assert await world.issuer.issue_x509([]) == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"csr": b"garbage"}, IssueErrorKind.MALFORMED_CSR),
        ({"csr": csr(broken=True)}, IssueErrorKind.BAD_CSR_SIGNATURE),
        ({"csr": csr(rsa.generate_private_key(65537, 1024))}, IssueErrorKind.KEY_TOO_WEAK),
        (
            {"spiffe_id": SpiffeId.parse("spiffe://other.org/web")},
            IssueErrorKind.REFUSED_BY_POLICY,
        ),
        (
            {"spiffe_id": SpiffeId.parse("spiffe://example.org/spire/server")},
            IssueErrorKind.REFUSED_BY_POLICY,
        ),
    ],
)
async def test_each_refusal_has_its_kind(
    world: World, changes: dict[str, object], kind: IssueErrorKind
) -> None:
    outcome = await issue(world, **changes)
    assert isinstance(outcome, IssueError)
    assert outcome.kind is kind
    assert outcome.message
    assert world.issued.svids == []


async def test_nothing_outlives_its_authority(world: World) -> None:
    world.clock.jump(23.5 * 3600)
    made = await issued(world)
    assert made.not_after == world.authorities.active(AuthorityKind.X509).not_after
    token = await world.issuer.issue_jwt(jwt_order(ttl=3600))
    assert isinstance(token, IssuedJwt)
    assert token.expires_at == world.authorities.active(AuthorityKind.JWT).not_after


async def test_an_ended_authority_issues_nothing(world: World) -> None:
    world.clock.jump(25 * 3600)
    for outcome in (await issue(world), await world.issuer.issue_jwt(jwt_order())):
        assert isinstance(outcome, IssueError)
        assert outcome.kind is IssueErrorKind.UNAVAILABLE
        assert "expired" in outcome.message


async def test_lost_keys_and_absent_signers_are_unavailable(world: World) -> None:
    world.signers.forget()
    lost = await issue(world)
    world.signers.down = True
    absent = await world.issuer.issue_jwt(jwt_order())
    for outcome in (lost, absent):
        assert isinstance(outcome, IssueError)
        assert outcome.kind is IssueErrorKind.UNAVAILABLE


async def test_a_token_is_issued_and_recorded_by_its_hash(world: World) -> None:
    made = await world.issuer.issue_jwt(jwt_order(entry_id="e1"))
    assert isinstance(made, IssuedJwt)
    assert (made.issued_at, made.expires_at) == (NOW, NOW + 300)
    (record,) = world.issued.svids
    key = world.authorities.active(AuthorityKind.JWT).id
    assert record.kind == "jwt"
    assert record.serial_or_jti.startswith(f"{key}:")
    assert record.expires_at == NOW + 300
    assert not any(part in record.serial_or_jti for part in made.token.split("."))


async def test_a_token_with_jti_is_recorded_by_it(world: World) -> None:
    made = await world.issuer.issue_jwt(jwt_order(include_jti=True))
    assert isinstance(made, IssuedJwt)
    claims = json.loads(base64.urlsafe_b64decode(made.token.split(".")[1] + "=="))
    assert claims["jti"] == world.issued.svids[0].serial_or_jti


async def test_a_token_without_audience_is_refused(world: World) -> None:
    outcome = await world.issuer.issue_jwt(jwt_order(audience=()))
    assert isinstance(outcome, IssueError)
    assert outcome.kind is IssueErrorKind.REFUSED_BY_POLICY


async def test_issuing_notes_first_until_when_the_authority_is_needed(world: World) -> None:
    world.journals.full = True
    outcome = await issue(world)
    assert isinstance(outcome, IssueError)
    assert world.signers.signed == []
    world.journals.full = False
    made = await issued(world)
    assert world.authorities.active(AuthorityKind.X509).signed_until >= made.not_after


async def test_issuing_passes_the_observer_without_its_secrets(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="finial.test")
    await issued(world, entry_id="e1")
    made = await world.issuer.issue_jwt(jwt_order())
    assert isinstance(made, IssuedJwt)
    lines = [each.__dict__["data"] for each in caplog.records if each.message == "SVID issued"]
    assert [line["kind"] for line in lines] == ["x509", "jwt"]
    assert lines[0]["entry_id"] == "e1"
    assert made.token not in str(lines)
    assert made.token not in repr(made)
