"""Holding an X509-SVID, and cutting concatenated DER."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from finial.spiffe.errors import X509SvidError
from finial.spiffe.x509_svid import X509Svid, split_certificates
from tests.fakes.ca import NOW, FakeCa, PrivateKey, pkcs8

ID = "spiffe://example.org/a"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-256", "RSA", "Ed25519"],
)
def test_a_chain_and_its_key_are_an_svid(key: PrivateKey) -> None:
    issued = FakeCa().intermediate().issue(ID, key=key, ttl=60, hint="main")
    svid = X509Svid.parse(issued.chain, issued.key_pkcs8, hint="main")
    assert svid == issued
    assert (svid.not_before, svid.not_after) == (int(NOW) - 10, int(NOW) + 60)


def test_the_private_key_does_not_show() -> None:
    svid = FakeCa().issue(ID)
    shown = repr(svid)
    assert ID in shown
    assert "key" not in shown
    assert repr(svid.key_pkcs8)[2:30] not in shown


def test_another_key_is_refused() -> None:
    svid = FakeCa().issue(ID)
    for key in (pkcs8(ec.generate_private_key(ec.SECP256R1())), raw_x25519()):
        with pytest.raises(X509SvidError, match="does not match"):
            X509Svid.parse(svid.chain, key)


def raw_x25519() -> bytes:
    key = x25519.X25519PrivateKey.generate()
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def test_what_is_no_plain_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    svid = FakeCa().issue(ID, key=key)
    sealed = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    for bad in (b"", b"key", sealed):
        with pytest.raises(X509SvidError, match="PKCS#8"):
            X509Svid.parse(svid.chain, bad)


def test_a_ca_or_nothing_or_garbage_is_no_svid() -> None:
    ca = FakeCa()
    for chain, why in (([], "at least one"), ([b"x"], "not a DER"), ([ca.der], "is a CA")):
        with pytest.raises(X509SvidError, match=why):
            X509Svid.parse(chain, pkcs8(ca.key))


def test_a_leaf_without_spiffe_id_is_no_svid() -> None:
    svid = FakeCa().issue(ID, uris=[])
    with pytest.raises(X509SvidError, match="no URI SAN"):
        X509Svid.parse(svid.chain, svid.key_pkcs8)


def test_concatenated_der_is_cut_where_it_was_joined() -> None:
    chain = FakeCa().intermediate().issue(ID).chain
    assert split_certificates(b"".join(chain)) == chain
    assert split_certificates(b"") == ()
    assert split_certificates(b"\x30\x01a\x30\x00") == (b"\x30\x01a", b"\x30\x00")


@pytest.mark.parametrize("data", [b"\x30", b"x", b"\x30\x02a", b"\x30\x80aa", b"\x30\x00\x31\x00"])
def test_what_is_no_row_of_der_sequences_is_refused(data: bytes) -> None:
    with pytest.raises(X509SvidError):
        split_certificates(data)
