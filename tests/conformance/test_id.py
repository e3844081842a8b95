"""Checklist rows ID-*: SPIFFE IDs and trust domain names."""

from __future__ import annotations

import string

import pytest

from finial.spiffe.errors import JwtSvidError, SpiffeIdError, X509SvidError
from finial.spiffe.jwt_svid import validate
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain
from finial.spiffe.x509_svid import lint_authority, spiffe_id_of, verify_chain
from tests.fakes.ca import NOW, FakeCa

NAME_CHARACTERS = set(string.ascii_lowercase + string.digits + ".-_")
SEGMENT_CHARACTERS = NAME_CHARACTERS | set(string.ascii_uppercase)


def refused(uri: str) -> str:
    with pytest.raises(SpiffeIdError) as caught:
        SpiffeId.parse(uri)
    return str(caught.value)


def accepted(uri: str) -> bool:
    try:
        return SpiffeId.parse(uri).uri == uri
    except SpiffeIdError:
        return False


@pytest.mark.parametrize("uri", ["http://td/a", "s", "spiffe:/td/a", "//td/a", "spiffe:td"])
def test_ID_01_only_the_scheme_spiffe_passes(uri: str) -> None:
    assert refused(uri) == "scheme is missing or invalid"


def test_ID_01_an_empty_id_is_refused_as_empty() -> None:
    assert refused("") == "cannot be empty"


@pytest.mark.parametrize("uri", ["spiffe://", "spiffe:///a"])
def test_ID_02_the_trust_domain_may_not_be_missing(uri: str) -> None:
    assert refused(uri) == "trust domain is missing"


@pytest.mark.parametrize(
    "uri", ["spiffe://td/a?x", "spiffe://td/a#x", "spiffe://td?x", "spiffe://td#", "spiffe://td/a?"]
)
def test_ID_03_query_and_fragment_are_refused(uri: str) -> None:
    refused(uri)


@pytest.mark.parametrize("uri", ["spiffe://u@td/a", "spiffe://td:80/a", "spiffe://td:/a"])
def test_ID_04_userinfo_and_port_are_refused(uri: str) -> None:
    refused(uri)


def test_ID_05_only_39_characters_pass_in_the_trust_domain() -> None:
    passing = {chr(code) for code in range(256) if accepted(f"spiffe://t{chr(code)}d/a")}
    passing.discard("/")  # ends the trust domain, so that the path is /d/a
    assert passing == NAME_CHARACTERS
    assert len(passing) == 39


@pytest.mark.parametrize("name", ["TD", "td$", "tđ", "td\n", "td ", "\uff54d"])
def test_ID_05_other_letters_and_blanks_are_refused(name: str) -> None:
    refused(f"spiffe://{name}/a")
    with pytest.raises(SpiffeIdError):
        TrustDomain.parse(name)


def test_ID_06_percent_encoding_in_the_trust_domain_is_refused() -> None:
    refused("spiffe://%62ad/a")


def test_ID_07_a_trust_domain_name_has_at_most_255_bytes() -> None:
    longest = "a" * 255
    assert SpiffeId.parse(f"spiffe://{longest}/a").trust_domain.name == longest
    assert TrustDomain.parse(longest).name == longest
    assert "longer than 255" in refused(f"spiffe://{longest}a/a")
    with pytest.raises(SpiffeIdError, match="longer than 255"):
        TrustDomain.parse(longest + "a")


@pytest.mark.parametrize("uri", ["spiffe://1.2.3.4/a", "spiffe://a..b/a", "spiffe://-_./a"])
def test_ID_08_names_that_look_like_addresses_or_break_dns_are_names(uri: str) -> None:
    assert accepted(uri)


def test_ID_08_an_ipv6_literal_is_refused() -> None:
    refused("spiffe://[::1]/a")


def test_ID_09_percent_encoding_in_the_path_is_refused() -> None:
    refused("spiffe://td/%61")


@pytest.mark.parametrize("uri", ["spiffe://td//a", "spiffe://td/a//b"])
def test_ID_10_empty_segments_are_refused(uri: str) -> None:
    assert refused(uri) == "path cannot contain empty segments"


@pytest.mark.parametrize("uri", ["spiffe://td/", "spiffe://td/a/"])
def test_ID_11_a_trailing_slash_is_refused(uri: str) -> None:
    assert refused(uri) == "path cannot have a trailing slash"


@pytest.mark.parametrize("path", ["/.", "/..", "/a/./b", "/a/../b", "/a/.", "/a/.."])
def test_ID_12_dot_segments_are_refused(path: str) -> None:
    assert refused(f"spiffe://td{path}") == "path cannot contain dot segments"


@pytest.mark.parametrize("path", ["/.a", "/..a", "/...", "/a.", "/a../b"])
def test_ID_12_segments_that_only_contain_dots_among_others_pass(path: str) -> None:
    assert accepted(f"spiffe://td{path}")


def test_ID_13_only_65_characters_pass_in_a_segment() -> None:
    passing = {chr(code) for code in range(256) if accepted(f"spiffe://td/a{chr(code)}b")}
    passing.discard("/")  # begins the next segment
    assert passing == SEGMENT_CHARACTERS
    assert len(passing) == 65


def test_ID_14_the_path_may_be_absent() -> None:
    spiffe_id = SpiffeId.parse("spiffe://td")
    assert spiffe_id.path == ""
    assert spiffe_id == TrustDomain("td").id


def test_ID_15_paths_that_differ_in_case_are_different_identities() -> None:
    upper, lower = SpiffeId.parse("spiffe://td/A"), SpiffeId.parse("spiffe://td/a")
    assert upper != lower
    assert len({upper, lower}) == 2


@pytest.mark.parametrize("uri", ["SPIFFE://td/a", "Spiffe://td/a", "spiffe://Td/a"])
def test_ID_16_scheme_and_trust_domain_are_taken_in_lower_case_only(uri: str) -> None:
    refused(uri)


def test_ID_17_an_id_of_2048_bytes_is_issued_and_validated() -> None:
    uri = "spiffe://example.org/".ljust(2048, "a")
    ca = FakeCa()
    assert verify_chain(ca.issue(uri).chain, ca.bundle(), NOW).id.uri == uri
    assert validate(ca.jwt(uri, ["x"]), ca.bundle(), "x", NOW).id.uri == uri


def test_ID_18_an_id_of_2049_bytes_is_refused() -> None:
    uri = "spiffe://example.org/".ljust(2049, "a")
    assert refused(uri) == "longer than 2048 bytes"
    with pytest.raises(SpiffeIdError, match="longer than 2048"):
        SpiffeId.of(TrustDomain("example.org"), "/".ljust(2048, "a"))


def test_ID_19_a_signing_authority_carries_an_svid() -> None:
    assert spiffe_id_of(FakeCa().cert).uri == "spiffe://example.org"


def test_ID_20_an_authority_with_a_path_in_its_id_breaks_the_profile() -> None:
    ca = FakeCa(uris=["spiffe://example.org/ca"])
    with pytest.raises(X509SvidError, match="authority's ID"):
        lint_authority(ca.der, trust_domain=ca.trust_domain, now=NOW)


@pytest.mark.parametrize("part", ["name", "key"])
def test_ID_21_name_and_key_of_an_x509_svid_are_under_its_signature(part: str) -> None:
    ca = FakeCa()
    svid = ca.issue("spiffe://example.org/aaaa")
    leaf = svid.chain[0]
    if part == "name":
        other = leaf.replace(b"spiffe://example.org/aaaa", b"spiffe://example.org/aaab")
    else:
        point = verify_chain(svid.chain, ca.bundle(), NOW).leaf.public_key()
        stranger = ca.issue("spiffe://example.org/b")
        theirs = verify_chain(stranger.chain, ca.bundle(), NOW).leaf.public_key()
        other = leaf.replace(raw_key(point), raw_key(theirs))
    assert other != leaf
    with pytest.raises(X509SvidError, match="signature"):
        verify_chain([other], ca.bundle(), NOW)


def test_ID_21_the_subject_of_a_jwt_svid_is_under_its_signature() -> None:
    ca = FakeCa()
    honest = ca.jwt("spiffe://example.org/a", ["x"]).split(".")
    other = ca.jwt("spiffe://example.org/b", ["x"]).split(".")
    with pytest.raises(JwtSvidError, match="signature"):
        validate(".".join([honest[0], other[1], honest[2]]), ca.bundle(), "x", NOW)


@pytest.mark.parametrize("token", ["{}", '{"sub":"spiffe://example.org/a"}', "a.b", "e30.e30."])
def test_ID_22_other_documents_are_no_svids(token: str) -> None:
    ca = FakeCa()
    with pytest.raises(JwtSvidError):
        validate(token, ca.bundle(), "x", NOW)
    with pytest.raises(X509SvidError):
        verify_chain([token.encode()], ca.bundle(), NOW)


def test_ID_22_a_token_that_nobody_signed_is_no_svid() -> None:
    ca = FakeCa()
    header, payload, _ = ca.jwt("spiffe://example.org/a", ["x"]).split(".")
    with pytest.raises(JwtSvidError, match="signature"):
        validate(f"{header}.{payload}.", ca.bundle(), "x", NOW)


@pytest.mark.parametrize("typ", ["wit+jwt", "wpt+jwt", "at+jwt"])
def test_ID_22_a_token_of_another_profile_is_no_jwt_svid(typ: str) -> None:
    ca = FakeCa()
    token = ca.jwt("spiffe://example.org/a", ["x"], header={"typ": typ})
    with pytest.raises(JwtSvidError, match="type"):
        validate(token, ca.bundle(), "x", NOW)


def raw_key(key: object) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    assert isinstance(key, EllipticCurvePublicKey)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
