"""The memory of proven signatures saves work, and no rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from finial.spiffe import base64url
from finial.spiffe.bundle import Bundle, JwtAuthority
from finial.spiffe.errors import JwtSvidError
from finial.spiffe.jwt_svid import ProvenSignatures, validate
from tests.fakes.ca import NOW, FakeCa

ID = "spiffe://example.org/a"


@pytest.fixture
def ca() -> FakeCa:
    return FakeCa()


@pytest.fixture
def token(ca: FakeCa) -> str:
    return ca.jwt(ID, ["x"])


@pytest.fixture
def proven(ca: FakeCa, token: str) -> ProvenSignatures:
    """A memory that has seen the token proven."""
    memory = ProvenSignatures()
    validate(token, ca.bundle(), "x", NOW, proven=memory)
    assert len(memory) == 1
    return memory


def refused(
    token: str, bundle: Bundle, why: str, proven: ProvenSignatures, now: float = NOW
) -> None:
    with pytest.raises(JwtSvidError, match=why):
        validate(token, bundle, "x", now, proven=proven)


def test_a_remembered_signature_is_not_verified_again(
    ca: FakeCa, token: str, proven: ProvenSignatures
) -> None:
    # A public key of which only the bytes are the signer's: verifying with it would fail.
    real = ca.bundle().jwt_authorities[0]
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    bundle = replace(ca.bundle(), jwt_authorities=(replace(real, public_key=stranger),))
    assert validate(token, bundle, "x", NOW, proven=proven).id.uri == ID
    refused(token, bundle, "invalid signature", ProvenSignatures())


def test_a_key_that_left_the_bundle_validates_nothing(
    ca: FakeCa, token: str, proven: ProvenSignatures
) -> None:
    refused(token, replace(ca.bundle(), jwt_authorities=()), "no JWT authority", proven)


def test_another_key_under_the_same_id_validates_nothing(
    ca: FakeCa, token: str, proven: ProvenSignatures
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
    bundle = replace(ca.bundle(), jwt_authorities=(JwtAuthority.from_key(ca.key_id, stranger),))
    refused(token, bundle, "invalid signature", proven)


def test_a_key_that_moved_to_another_trust_domain_validates_nothing(
    ca: FakeCa, token: str, proven: ProvenSignatures
) -> None:
    other = FakeCa("example.com", jwt_key=ca.jwt_key).bundle()
    refused(token, other, "no JWT bundle", proven)


def test_a_remembered_token_expires(ca: FakeCa, token: str, proven: ProvenSignatures) -> None:
    refused(token, ca.bundle(), "expired", proven, now=NOW + 1000)


def test_a_remembered_token_is_for_its_audience_only(
    ca: FakeCa, token: str, proven: ProvenSignatures
) -> None:
    with pytest.raises(JwtSvidError, match="expected audience"):
        validate(token, ca.bundle(), "y", NOW, proven=proven)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_tampered_token_is_another_token(
    ca: FakeCa, token: str, proven: ProvenSignatures, part: int
) -> None:
    parts = token.split(".")
    parts[part] = ca.jwt(f"{ID}b", ["x"], header={"x": 1}).split(".")[part]
    refused(".".join(parts), ca.bundle(), "invalid signature", proven)


def test_a_tampered_signature_is_another_token(
    ca: FakeCa, token: str, proven: ProvenSignatures
) -> None:
    data, _, text = token.rpartition(".")
    signature = bytearray(base64url.decode(text.encode()))
    signature[-1] ^= 1
    tampered = f"{data}.{base64url.encode(bytes(signature))}"
    refused(tampered, ca.bundle(), "invalid signature", proven)
    assert len(proven) == 1


def test_a_failed_signature_is_not_remembered(ca: FakeCa, token: str) -> None:
    memory = ProvenSignatures()
    refused(FakeCa().jwt(ID, ["x"]), ca.bundle(), "invalid signature", memory)
    assert len(memory) == 0
    validate(token, ca.bundle(), "x", NOW, proven=memory)
    assert len(memory) == 1


def test_the_memory_is_bounded_and_forgets_the_least_recently_used() -> None:
    memory = ProvenSignatures(capacity=2)
    for fact in (b"a", b"b"):
        memory.add(fact)
    assert memory.knows(b"a")
    memory.add(b"c")
    assert len(memory) == 2
    assert [memory.knows(fact) for fact in (b"a", b"b", b"c")] == [True, False, True]


def test_key_and_token_cannot_be_cut_otherwise() -> None:
    assert ProvenSignatures.fact(b"ab", "c") != ProvenSignatures.fact(b"a", "bc")
