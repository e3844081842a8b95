"""Checklist rows that bind issuers and publishers, held against what a whole server hands out.

The judges are the standard library, cryptography and pyjwt, not `finial.spiffe`, which the server
itself goes by.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import jwt as pyjwt
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2, entry_pb2, svid_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.api.spire.server.entry_pb2_grpc import EntryStub
from finial.api.spire.server.svid_pb2_grpc import SVIDStub
from finial.server.api.bundle_codec import decode_bundle
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import csr
from tests.fakes.server_process import DOMAIN, config_in, running

if TYPE_CHECKING:
    from pathlib import Path

TD = "spiffe://example.org"
WEB = f"{TD}/web"
LONGEST = f"{TD}/".ljust(2048, "a")
PARENT = types_pb2.SPIFFEID(trust_domain="example.org", path="/node")


@dataclass
class Issued:
    """What one server has handed out and refused."""

    leaf: x509.Certificate
    longest: x509.Certificate
    authority: x509.Certificate
    token: str
    document: dict[str, Any]
    refusals: dict[str, grpc.StatusCode]
    entries: dict[str, types_pb2.Status]
    sequences: list[int]


def usage(cert: x509.Certificate) -> x509.Extension[x509.KeyUsage]:
    return cert.extensions.get_extension_for_class(x509.KeyUsage)


def uris(cert: x509.Certificate) -> list[str]:
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def mint(request: bytes) -> svid_pb2.MintX509SVIDRequest:
    return svid_pb2.MintX509SVIDRequest(csr=request)


def entry(path: str, hint: str = "") -> types_pb2.Entry:
    return types_pb2.Entry(
        spiffe_id=types_pb2.SPIFFEID(trust_domain="example.org", path=path),
        parent_id=PARENT,
        selectors=[types_pb2.Selector(type="unix", value="uid:0")],
        hint=hint,
    )


ENTRIES = {
    "longest": entry("/".ljust(2048 - len(TD), "a")),
    "too long": entry("/".ljust(2049 - len(TD), "a")),
    "pathless": entry(""),
    "hint": entry("/hinted", "h" * 1024),
    "long hint": entry("/hinted-more", "h" * 1025),
    "long hint of few letters": entry("/hinted-wide", "é" * 513),
}
REFUSED: dict[str, tuple[str, Any]] = {
    "two URIs": ("MintX509SVID", mint(csr(uris=[WEB, f"{WEB}2"]))),
    "pathless": ("MintX509SVID", mint(csr(uris=[TD]))),
    "too long": ("MintX509SVID", mint(csr(uris=[f"{LONGEST}a"]))),
    "no audience": (
        "MintJWTSVID",
        svid_pb2.MintJWTSVIDRequest(id=types_pb2.SPIFFEID(trust_domain="example.org", path="/a")),
    ),
    "no subject": ("MintJWTSVID", svid_pb2.MintJWTSVIDRequest(audience=["a"])),
}


async def issue(folder: Path) -> Issued:
    async with (
        running(config_in(folder)) as server,
        grpc.aio.insecure_channel(f"unix:{server.socket}") as channel,
    ):
        stub: Any = SVIDStub(channel)
        short, long = [await stub.MintX509SVID(mint(csr(uris=[uri]))) for uri in (WEB, LONGEST)]
        web = types_pb2.SPIFFEID(trust_domain="example.org", path="/web")
        wanted = svid_pb2.MintJWTSVIDRequest(id=web, audience=["one", "two"])
        token = (await stub.MintJWTSVID(wanted)).svid.token
        bundle = decode_bundle(
            await BundleStub(channel).GetBundle(bundle_pb2.GetBundleRequest()), DOMAIN
        )
        refusals = {}
        for name, (method, request) in REFUSED.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await getattr(stub, method)(request)
            refusals[name] = refused.value.code()
        batch = entry_pb2.BatchCreateEntryRequest(entries=ENTRIES.values())
        one_more = types_pb2.X509Certificate(asn1=FakeCa().der)
        append = bundle_pb2.AppendBundleRequest(x509_authorities=[one_more])
        changed = [(await BundleStub(channel).AppendBundle(append)) for _ in range(2)]
        made = (await EntryStub(channel).BatchCreateEntry(batch)).results
        return Issued(
            leaf=x509.load_der_x509_certificate(short.svid.cert_chain[0]),
            longest=x509.load_der_x509_certificate(long.svid.cert_chain[0]),
            authority=bundle.x509_authorities[0].cert,
            token=token,
            document=json.loads(bundle.to_jwks()),
            refusals=refusals,
            entries={name: each.status for name, each in zip(ENTRIES, made, strict=True)},
            sequences=[bundle.sequence, *(each.sequence_number for each in changed)],
        )


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return asyncio.run(issue(tmp_path_factory.mktemp("issuer")))


def test_ID_17_an_id_of_2048_bytes_is_registered_and_issued(issued: Issued) -> None:
    assert issued.entries["longest"].code == 0
    assert uris(issued.longest) == [LONGEST]


def test_ID_18_an_id_of_2049_bytes_is_neither_registered_nor_issued(issued: Issued) -> None:
    assert issued.entries["too long"].code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert issued.refusals["too long"] is grpc.StatusCode.INVALID_ARGUMENT


def test_ID_19_and_20_a_new_server_has_an_authority_that_is_the_trust_domains_svid(
    issued: Issued,
) -> None:
    assert uris(issued.authority) == [TD]


def test_X509_01_a_leaf_has_one_uri_and_a_request_for_two_is_refused(issued: Issued) -> None:
    assert uris(issued.leaf) == [WEB]
    assert issued.refusals["two URIs"] is grpc.StatusCode.INVALID_ARGUMENT


def test_X509_04_an_id_without_a_path_is_neither_registered_nor_issued(issued: Issued) -> None:
    assert issued.refusals["pathless"] is grpc.StatusCode.INVALID_ARGUMENT
    assert issued.entries["pathless"].code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_X509_05_a_leaf_with_a_subject_has_alternative_names_that_are_not_critical(
    issued: Issued,
) -> None:
    names = issued.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert issued.leaf.subject.rdns
    assert not names.critical


def test_X509_06_and_07_only_the_signing_certificate_is_a_ca(issued: Issued) -> None:
    for cert, ca in ((issued.leaf, False), (issued.authority, True)):
        basic = cert.extensions.get_extension_for_class(x509.BasicConstraints)
        assert basic.critical
        assert basic.value.ca is ca


def test_X509_09_to_12_each_certificate_may_do_what_it_is_for(issued: Issued) -> None:
    leaf, authority = usage(issued.leaf), usage(issued.authority)
    assert leaf.critical
    assert authority.critical
    assert leaf.value.digital_signature
    assert not leaf.value.key_cert_sign
    assert not leaf.value.crl_sign
    assert authority.value.key_cert_sign


def test_X509_13_and_14_a_leaf_is_for_servers_and_for_clients(issued: Issued) -> None:
    purposes = issued.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_X509_16_to_18_the_signing_certificate_is_an_svid_of_the_leafs_domain(
    issued: Issued,
) -> None:
    issued.leaf.verify_directly_issued_by(issued.authority)
    assert uris(issued.leaf)[0].startswith(f"{uris(issued.authority)[0]}/")


def test_X509_25_to_28_the_published_authority_is_one_self_signed_certificate(
    issued: Issued,
) -> None:
    (key,) = (each for each in issued.document["keys"] if each["use"] == "x509-svid")
    assert "kid" not in key
    (encoded,) = key["x5c"]
    cert = x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True))
    assert cert == issued.authority
    cert.verify_directly_issued_by(cert)


def test_JWT_01_03_04_07_and_08_a_token_is_compact_and_says_no_more_than_it_must(
    issued: Issued,
) -> None:
    assert issued.token.count(".") == 2
    header = pyjwt.get_unverified_header(issued.token)
    assert set(header) == {"alg", "kid", "typ"}
    assert header["alg"] in {"RS256", "ES256", "ES384"}
    assert header["typ"] == "JWT"
    assert header["kid"]


def test_JWT_09_10_14_and_17_a_token_has_its_claims(issued: Issued) -> None:
    (published,) = (each for each in issued.document["keys"] if each["use"] == "jwt-svid")
    key = pyjwt.PyJWK(published, pyjwt.get_unverified_header(issued.token)["alg"])
    claims = pyjwt.decode(issued.token, key, audience="two")
    assert claims["sub"] == WEB
    assert claims["aud"] == ["one", "two"]
    assert isinstance(claims["exp"], int)
    assert isinstance(claims["iat"], int)
    assert "jti" not in claims


def test_JWT_09_and_10_a_token_without_subject_or_audience_is_not_issued(issued: Issued) -> None:
    for name in ("no subject", "no audience"):
        assert issued.refusals[name] is grpc.StatusCode.INVALID_ARGUMENT


def test_JWT_20_the_tokens_key_is_published_under_its_id(issued: Issued) -> None:
    (key,) = (each for each in issued.document["keys"] if each["use"] == "jwt-svid")
    assert key["kid"] == pyjwt.get_unverified_header(issued.token)["kid"]


def test_BND_04_the_sequence_rises_when_the_bundle_changes_and_only_then(issued: Issued) -> None:
    before, with_one_more, with_the_same = issued.sequences
    assert before < with_one_more == with_the_same


def test_WL_35_a_hint_above_1024_bytes_is_not_registered(issued: Issued) -> None:
    assert issued.entries["hint"].code == 0
    for name in ("long hint", "long hint of few letters"):
        assert issued.entries[name].code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
