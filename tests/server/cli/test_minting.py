import json
import stat
from collections.abc import Callable
from pathlib import Path

import jwt as pyjwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from finial.server.cli.x509_mint import key_and_csr
from finial.spiffe import SpiffeId
from tests.fakes.admin_api import FakeAdminApi
from tests.fakes.program import Outcome

Run = Callable[..., Outcome]
X509 = "x509 mint -spiffeID spiffe://example.org/m"
JWT = "jwt mint -spiffeID spiffe://example.org/m -audience a"
WIT = "wit mint -spiffeID spiffe://example.org/m"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("x509 mint", "spiffeID must be specified"),
        ("x509 mint -spiffeID xx", "scheme is missing or invalid"),
        (f"{X509} -dns straße", 'DNS name "straße" is not in ASCII: give it in its xn-- form'),
        (f"{X509} -ttl 999999h", "invalid value for TTL: overflow converting int(3599996400)"),
        (
            f"{X509} -write /no/such",
            "unable to write SVID: open /no/such/svid.pem: no such file or directory",
        ),
        ("jwt mint", "spiffeID must be specified"),
        ("jwt mint -spiffeID spiffe://a.org/m", "at least one audience must be specified"),
        (
            f"{JWT} -write /no/such",
            "unable to write token: open /no/such: no such file or directory",
        ),
        ("wit mint", "spiffeID must be specified"),
        (f"{WIT} -signingAlgorithm HS256", "unsupported signing algorithm: HS256"),
        (
            f"{WIT} -keyType rsa-2048",
            "unsupported key type 'rsa-2048' for 'ES256' signing algorithm",
        ),
        (
            f"{WIT} -keyType x -signingAlgorithm PS256",
            "unsupported key type 'x' for signing algorithm 'PS256'",
        ),
        (
            f"{WIT} -write /no/such",
            "unable to write token: open /no/such/token: no such file or directory",
        ),
    ],
)
def test_minting_refuses_what_it_cannot_do(run: Run, line: str, complaint: str) -> None:
    outcome = run(line)
    assert outcome.code == 1
    assert outcome.err.startswith(f"Error: {complaint}")


@pytest.mark.parametrize(
    ("line", "method"),
    [(X509, "MintX509SVID"), (JWT, "MintJWTSVID"), (WIT, "MintWITSVID")],
)
def test_a_refusal_is_told_with_what_was_tried(
    run: Run, api: FakeAdminApi, line: str, method: str
) -> None:
    import grpc

    api.refuse[method] = (grpc.StatusCode.INVALID_ARGUMENT, "not that one")
    assert run(line).err == (
        "Error: unable to mint SVID: rpc error: code = InvalidArgument desc = not that one\n"
    )


def test_the_request_has_the_id_the_names_and_a_fresh_p256_key() -> None:
    key, csr = key_and_csr(SpiffeId.parse("spiffe://example.org/m"), ["a.example"])
    request = x509.load_der_x509_csr(csr)
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://example.org/m"]
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert request.is_signature_valid
    private = load_der_private_key(key, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == request.public_key()
    assert key_and_csr(SpiffeId.parse("spiffe://example.org/m"), [])[0] != key


def test_an_x509_svid_is_printed_as_pem_under_headings(run: Run) -> None:
    outcome = run(X509)
    assert outcome.code == 0
    words = ["X509-SVID:", "CERTIFICATE", "Private key:", "PRIVATE KEY", "Root CAs:", "CERTIFICATE"]
    places = [outcome.out.index(word) for word in words[:1] + words[2:3] + words[4:5]]
    assert places == sorted(places)
    assert outcome.out.count("\n\n") == 3
    assert "BEGIN PRIVATE KEY" in outcome.out


def test_json_has_spires_members_in_spires_order(run: Run) -> None:
    outcome = run(f"{X509} -output json")
    assert list(outcome.json) == ["x509_svid", "private_key", "root_cas"]


def test_an_x509_svid_is_written_to_files_with_the_key_for_the_owner_alone(
    run: Run, tmp_path: Path
) -> None:
    outcome = run(f"{X509} -write {tmp_path}")
    assert outcome.out == (
        f"X509-SVID written to {tmp_path}/svid.pem\n"
        f"Private key written to {tmp_path}/key.pem\n"
        f"Root CAs written to {tmp_path}/bundle.pem\n"
    )
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["key.pem"] == 0o600
    assert "BEGIN CERTIFICATE" in (tmp_path / "svid.pem").read_text()
    assert "PRIVATE" not in outcome.out


def test_a_jwt_svid_is_printed_or_written(run: Run, tmp_path: Path) -> None:
    assert run(JWT).out == "the.jwt.svid\n"
    svid = run(f"{JWT} -output json").json["svid"]
    assert sorted(svid) == ["expires_at", "hint", "id", "issued_at", "token"]
    file = tmp_path / "token"
    assert run(f"{JWT} -write {file}").out == f"JWT-SVID written to {file}\n"
    assert file.read_text() == "the.jwt.svid"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_audiences_and_ttl_reach_the_server(run: Run, api: FakeAdminApi) -> None:
    run(f"{JWT} -audience b,c -ttl 1500ms")
    assert list(api.requests[0].audience) == ["a", "b,c"]
    assert api.requests[0].ttl == 2


@pytest.mark.parametrize(
    ("flags", "key_type", "size"),
    [
        ("", ec.EllipticCurvePublicKey, 256),
        ("-keyType ec-p384 -signingAlgorithm ES384", ec.EllipticCurvePublicKey, 384),
        ("-keyType rsa-2048 -signingAlgorithm PS256", rsa.RSAPublicKey, 2048),
    ],
)
def test_the_private_key_that_is_printed_is_that_of_the_request(
    run: Run, api: FakeAdminApi, flags: str, key_type: type, size: int
) -> None:
    token, printed = run(f"{WIT} {flags}").out.splitlines()
    asked = load_der_public_key(api.requests[0].public_key)
    assert token == "the.wit.svid"
    assert isinstance(asked, key_type)
    assert asked.key_size == size  # type: ignore[union-attr]
    key = pyjwt.PyJWK({**json.loads(printed), "alg": api.requests[0].signing_algorithm}).key
    assert key.public_key() == asked


def test_a_wit_svid_in_json_has_spires_members_in_spires_order(run: Run) -> None:
    found = run(f"{WIT} -output json").json
    assert list(found) == ["private_key", "svid"]
    assert list(found["svid"]) == ["token", "id", "expires_at", "issued_at"]
    assert found["svid"]["id"] == {"trust_domain": "example.org", "path": "/m"}
    assert json.loads(found["private_key"])["kty"] == "EC"


def test_a_wit_svid_is_written_to_two_files_for_the_owner_alone(run: Run, tmp_path: Path) -> None:
    assert run(f"{WIT} -write {tmp_path}").out == (
        f"WIT-SVID written to {tmp_path}/token\nPrivate key written to {tmp_path}/key\n"
    )
    assert (tmp_path / "token").read_text() == "the.wit.svid"
    assert "d" in json.loads((tmp_path / "key").read_text())
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("line", "kind"), [(X509, "X509-SVID"), (JWT, "JWT-SVID"), (WIT, "WIT-SVID")]
)
def test_a_cut_lifetime_is_warned_of_and_a_granted_one_is_not(
    run: Run, line: str, kind: str
) -> None:
    outcome = run(f"{line} -ttl 2h")
    assert outcome.code == 0
    warning = f'{kind} lifetime was capped shorter than specified ttl; expires "20'
    assert outcome.err.startswith(warning)
    assert run(f"{line} -ttl 30m").err == ""
