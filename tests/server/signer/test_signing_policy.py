"""What a signer refuses, however it is asked. Each rule here was seen to fail without its line."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from finial.api.finial import signer_pb2
from finial.server.signer import signing
from finial.server.signer.errors import SignerRefused
from finial.server.signer.model import AuthorityKind, AuthorityRef, KeyType
from finial.server.signer.policy import policy_from
from finial.server.signer.refusal import Refused
from finial.server.signer.service import SignerService
from finial.server.signer.signing import sign_x509
from tests.fakes.signers import DAY, FakeSigners, csr, lonely_signer, settings
from tests.server.signer.test_template import authority as authority_key

NOW = 1_800_000_000
Code = signer_pb2.Refusal.Code
Kind = signer_pb2.X509Order.Kind
CSR = csr()


@pytest.fixture
async def signers() -> FakeSigners:
    made = FakeSigners(settings(max_x509_ttl=7200, max_jwt_ttl=600))
    await made.generate(AuthorityKind.X509, "x509-CA-A", KeyType.EC_P256, NOW - 10, NOW + 3 * 3600)
    await made.generate(
        AuthorityKind.JWT, "JWT-Signer-A", KeyType.EC_P256, NOW - 10, NOW + 3 * 3600
    )
    return made


def order(**changes: object) -> signer_pb2.X509Order:
    fields: dict[str, object] = {
        "kind": Kind.WORKLOAD,
        "spiffe_id": "spiffe://example.org/web",
        "csr": CSR,
        "not_before": NOW - 10,
        "not_after": NOW + 3600,
    }
    return signer_pb2.X509Order(**(fields | changes))  # type: ignore[arg-type]


def jwt_order(**changes: object) -> signer_pb2.JwtOrder:
    fields: dict[str, object] = {
        "spiffe_id": "spiffe://example.org/web",
        "audience": ["db"],
        "issued_at": NOW,
        "expires_at": NOW + 300,
    }
    return signer_pb2.JwtOrder(**(fields | changes))  # type: ignore[arg-type]


async def authority(signers: FakeSigners, kind: AuthorityKind) -> AuthorityRef:
    return next(each for each in await signers.authorities() if each.kind is kind)


async def sign(signers: FakeSigners, wanted: signer_pb2.X509Order) -> signer_pb2.X509Result:
    ca = await authority(signers, AuthorityKind.X509)
    (result,) = await signers.sign_x509(ca.id, [wanted])
    return result


async def sign_jwt(signers: FakeSigners, wanted: signer_pb2.JwtOrder) -> signer_pb2.JwtResult:
    key = await authority(signers, AuthorityKind.JWT)
    (result,) = await signers.sign_jwt(key.id, [wanted])
    return result


async def test_an_order_within_the_policy_is_signed(signers: FakeSigners) -> None:
    assert (await sign(signers, order())).certificate
    assert (await sign_jwt(signers, jwt_order())).token


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spiffe_id": "spiffe://other.org/web"}, "not in trust domain"),
        ({"spiffe_id": "spiffe://example.org"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire/server"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire/agent/a"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire/new"}, "workload may have"),
        ({"kind": Kind.AGENT}, "agent may have"),
        ({"kind": Kind.AGENT, "spiffe_id": "spiffe://example.org/spire/server"}, "agent may have"),
        ({"kind": Kind.AGENT, "spiffe_id": "spiffe://other.org/spire/agent/a"}, "trust domain"),
        ({"kind": Kind.SERVER}, "server may have"),
        ({"kind": Kind.SERVER, "spiffe_id": "spiffe://example.org/spire/agent/a"}, "server may"),
        ({"kind": Kind.KIND_UNSPECIFIED}, "server may have"),
        ({"kind": 99, "spiffe_id": "spiffe://example.org/spire/server"}, "server may have"),
        ({"spiffe_id": "https://example.org/web"}, "not a SPIFFE ID"),
        ({"spiffe_id": "spiffe://example.org/web/../admin"}, "not a SPIFFE ID"),
        ({"spiffe_id": "spiffe://example.org/web\x00"}, "not a SPIFFE ID"),
        ({"dns_names": ["web", "not a name"]}, "not a DNS name"),
        ({"dns_names": [""]}, "not a DNS name"),
        ({"dns_names": ["web\x00.example.org"]}, "not a DNS name"),
        ({"dns_names": ["a*.example.org"]}, "not a DNS name"),
        ({"dns_names": ["bücher.example"]}, "not a DNS name"),
        ({"common_name": "x" * 65}, "common name"),
        ({"common_name": "é" * 33}, "common name"),
        ({"common_name": "a\nb"}, "common name"),
        ({"not_after": NOW + 7201}, "above the cap"),
        ({"not_before": NOW + 7000, "not_after": NOW + 3 * 3600 + 1}, "after the authority's"),
        ({"not_after": NOW - 10}, "before it begins"),
        ({"not_before": 0}, "before it begins"),
        ({"not_before": -5}, "before it begins"),
    ],
)
async def test_a_certificate_against_the_policy_is_refused(
    signers: FakeSigners, changes: dict[str, object], reason: str
) -> None:
    result = await sign(signers, order(**changes))
    assert result.refusal.code == Code.POLICY
    assert reason in result.refusal.message
    assert not result.certificate


@pytest.mark.parametrize(
    ("kind", "path"), [(Kind.AGENT, "/spire/agent/join_token/x"), (Kind.SERVER, "/spire/server")]
)
async def test_reserved_ids_are_signed_by_the_call_made_for_them(
    signers: FakeSigners, kind: signer_pb2.X509Order.Kind.ValueType, path: str
) -> None:
    wanted = order(kind=kind, spiffe_id=f"spiffe://example.org{path}")
    assert (await sign(signers, wanted)).certificate


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spiffe_id": "spiffe://other.org/web"}, "not in trust domain"),
        ({"spiffe_id": "spiffe://example.org"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire/server"}, "workload may have"),
        ({"spiffe_id": "spiffe://example.org/spire/agent/a"}, "workload may have"),
        ({"spiffe_id": ""}, "not a SPIFFE ID"),
        ({"audience": []}, "audiences"),
        ({"audience": ["db", ""]}, "an audience"),
        ({"audience": ["x" * 2049]}, "an audience"),
        ({"audience": ["x"] * 65}, "audiences"),
        ({"expires_at": NOW + 601}, "above the cap"),
        ({"issued_at": NOW + 10_500, "expires_at": NOW + 3 * 3600 + 1}, "after the authority's"),
        ({"expires_at": NOW}, "before it begins"),
    ],
)
async def test_a_token_against_the_policy_is_refused(
    signers: FakeSigners, changes: dict[str, object], reason: str
) -> None:
    result = await sign_jwt(signers, jwt_order(**changes))
    assert result.refusal.code == Code.POLICY
    assert reason in result.refusal.message
    assert not result.token


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"", Code.MALFORMED_CSR),
        (b"0\x03\x02\x01\x01", Code.MALFORMED_CSR),
        (CSR + b"\x00", Code.MALFORMED_CSR),
        (csr(uri=f"spiffe://example.org/{'a' * 66_000}"), Code.MALFORMED_CSR),
        (csr(broken=True), Code.BAD_CSR_SIGNATURE),
        (csr(rsa.generate_private_key(65537, 1024)), Code.KEY_TOO_WEAK),
        (csr(ec.generate_private_key(ec.SECP256K1())), Code.KEY_TOO_WEAK),
        (csr(ec.generate_private_key(ec.SECP224R1())), Code.KEY_TOO_WEAK),
    ],
)
async def test_a_bad_certificate_request_is_refused(
    signers: FakeSigners, request_: bytes, code: signer_pb2.Refusal.Code.ValueType
) -> None:
    result = await sign(signers, order(csr=request_))
    assert result.refusal.code == code
    assert not result.certificate


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
async def test_strong_keys_of_each_kind_are_signed(
    signers: FakeSigners, make: Callable[[], rsa.RSAPrivateKey]
) -> None:
    assert (await sign(signers, order(csr=csr(make())))).certificate


def test_no_order_has_a_field_that_could_ask_for_a_ca() -> None:
    """The template is closed: a new field here needs a rule of the policy and a thought."""
    fields = {field.name for field in signer_pb2.X509Order.DESCRIPTOR.fields}
    assert fields == {
        "kind",
        "spiffe_id",
        "csr",
        "dns_names",
        "common_name",
        "not_before",
        "not_after",
    }


def test_what_the_linter_stops_is_not_signed() -> None:
    ca = authority_key()
    ca.issuer = b"\x30\x02\x05\x00"  # a name of no parts that any reader would take
    wanted = policy_from(settings().to_message().policy, lambda: NOW)
    (outcome,) = sign_x509([order()], ca, wanted)
    assert isinstance(outcome, Refused)
    assert "cannot be read back" in str(outcome)
    assert outcome.code == Code.INTERNAL


async def test_one_bad_order_of_a_batch_spoils_no_other(signers: FakeSigners) -> None:
    ca = await authority(signers, AuthorityKind.X509)
    batch = [order(), order(csr=b"x"), order(spiffe_id="spiffe://other.org/x"), order()]
    results = await signers.sign_x509(ca.id, batch)
    assert [bool(each.certificate) for each in results] == [True, False, False, True]


async def test_an_authority_signs_only_its_own_kind(signers: FakeSigners) -> None:
    key = await authority(signers, AuthorityKind.JWT)
    with pytest.raises(SignerRefused, match="no key") as refused:
        await signers.sign_x509(key.id, [order()])
    assert refused.value.code == Code.UNKNOWN_AUTHORITY


@pytest.mark.parametrize(
    ("kind", "slot", "end", "reason"),
    [
        (AuthorityKind.X509, "x509-CA-C", NOW + DAY, "slot"),
        (AuthorityKind.X509, "JWT-Signer-A", NOW + DAY, "slot"),
        (AuthorityKind.X509, "x509-CA-B", NOW + 366 * DAY, "above the cap"),
        (AuthorityKind.JWT, "JWT-Signer-B", NOW - 20, "before it begins"),
    ],
)
async def test_an_authority_against_the_policy_is_not_made(
    signers: FakeSigners, kind: AuthorityKind, slot: str, end: int, reason: str
) -> None:
    before = await signers.authorities()
    with pytest.raises(SignerRefused, match=reason):
        await signers.generate(kind, slot, KeyType.EC_P256, NOW - 10, end)
    assert await signers.authorities() == before


def service(now: float, *, tolerance: int = 60) -> tuple[SignerService, str]:
    """A signer whose own clock shows `now`, and the ID of an authority that it holds."""
    made = lonely_signer(lambda: now)
    wanted = settings(clock_tolerance=tolerance).to_message()
    made.answer(signer_pb2.Request(configure=wanted), ())
    generate = signer_pb2.GenerateAuthority(
        slot="x509-CA-A",
        kind=signer_pb2.X509,
        key_type=signer_pb2.EC_P256,
        not_before=int(now) - 10,
        not_after=int(now) + 10 * DAY,
    )
    reply = made.answer(signer_pb2.Request(generate_authority=generate), ())
    return made, reply.authorities.authorities[0].id


@pytest.mark.parametrize("shift", [-3600, -71, 61, 3600])
def test_nothing_is_signed_for_another_time(shift: int) -> None:
    signer, ca = service(NOW)
    wanted = order(not_before=NOW - 10 + shift + (10 if shift > 0 else 0), not_after=NOW + 3700)
    batch = signer_pb2.SignX509(authority_id=ca, orders=[wanted])
    (result,) = signer.answer(signer_pb2.Request(sign_x509=batch), ()).x509.results
    assert result.refusal.code == Code.POLICY
    assert "does not begin now" in result.refusal.message


def test_a_signer_without_policy_does_nothing() -> None:
    signer = lonely_signer(lambda: NOW)
    request = signer_pb2.Request(id=7, list_authorities=signer_pb2.ListAuthorities())
    reply = signer.answer(request, ())
    assert (reply.id, reply.refusal.code) == (7, Code.POLICY)


def test_a_panic_below_takes_no_keys_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # as pyo3 has it
        pass

    def panic(_csr: bytes) -> bytes:
        raise PanicException

    signer, ca = service(NOW)
    monkeypatch.setattr(signing, "public_key_of", panic)
    batch = signer_pb2.SignX509(authority_id=ca, orders=[order()])
    reply = signer.answer(signer_pb2.Request(id=7, sign_x509=batch), ())
    assert (reply.id, reply.refusal.code) == (7, Code.INTERNAL)
    assert [each.record.id for each in signer._keys.all()] == [ca]


def test_a_policy_cannot_be_loosened_once_it_is_set() -> None:
    signer, ca = service(NOW)
    loose = settings(clock_tolerance=0, max_x509_ttl=10 * 365 * DAY).to_message()
    assert signer.answer(signer_pb2.Request(configure=loose), ()).refusal.code == Code.POLICY
    keys = [each.to_message() for each in signer._keys.all()]
    signer.join(signer_pb2.Share(configure=loose, authorities=keys))
    batch = signer_pb2.SignX509(authority_id=ca, orders=[order(not_after=NOW + 2 * DAY)])
    (result,) = signer.answer(signer_pb2.Request(sign_x509=batch), ()).x509.results
    assert "above the cap" in result.refusal.message


@pytest.mark.parametrize("field", ["max_x509_ttl", "max_jwt_ttl", "max_authority_ttl"])
def test_a_policy_without_a_cap_is_refused(field: str) -> None:
    signer = lonely_signer(lambda: NOW)
    wanted = settings(**{field: 0}).to_message()
    reply = signer.answer(signer_pb2.Request(configure=wanted), ())
    assert "needs a cap" in reply.refusal.message


def test_an_empty_request_is_refused() -> None:
    signer, _ = service(NOW)
    assert signer.answer(signer_pb2.Request(id=1), ()).refusal.code == Code.POLICY
    lonely = signer_pb2.Request(spawn=signer_pb2.SpawnSignerProcess())
    assert signer.answer(lonely, ()).refusal.code == Code.POLICY
