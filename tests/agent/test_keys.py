import pytest
from cryptography import x509

from finial.agent import keys
from finial.spiffe.spiffe_id import SpiffeId


@pytest.mark.parametrize("key_type", list(keys.KeyType))
def test_a_request_is_signed_and_names_the_identity(key_type: keys.KeyType) -> None:
    key = keys.new_key(key_type)
    spiffe_id = SpiffeId("spiffe://example.org/w")
    request = x509.load_der_x509_csr(keys.request(key, spiffe_id))
    assert request.is_signature_valid
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [spiffe_id.uri]
    assert request.public_key() == key.public_key()


def test_the_agents_own_request_carries_no_identity() -> None:
    request = x509.load_der_x509_csr(keys.request(keys.new_key()))
    assert list(request.extensions) == []
    assert request.subject.rfc4514_string() == "O=SPIRE,C=US"


def test_every_key_is_a_new_one() -> None:
    assert keys.public_der(keys.new_key()) != keys.public_der(keys.new_key())


@pytest.mark.parametrize("data", [b"", b"rubbish", b"\x30\x00"])
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="PKCS#8"):
        keys.load_pkcs8(data)
