import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from finial.server.cli.x509_mint import key_and_csr
from finial.spiffe import SpiffeId
from tests.fakes.admin_api import FakeAdminApi
from tests.fakes.program import Outcome

Run = Callable[..., Outcome]
X509 = "x509 mint -spiffeID spiffe://example.org/m"
JWT = "jwt mint -spiffeID spiffe://example.org/m -audience a"


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
    ],
)
def test_minting_refuses_what_it_cannot_do(run: Run, line: str, complaint: str) -> None:
    outcome = run(line)
    assert outcome.code == 1
    assert outcome.err.startswith(f"Error: {complaint}")


@pytest.mark.parametrize(("line", "method"), [(X509, "MintX509SVID"), (JWT, "MintJWTSVID")])
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


@pytest.mark.parametrize(("line", "kind"), [(X509, "X509-SVID"), (JWT, "JWT-SVID")])
def test_a_cut_lifetime_is_warned_of_and_a_granted_one_is_not(
    run: Run, line: str, kind: str
) -> None:
    outcome = run(f"{line} -ttl 2h")
    assert outcome.code == 0
    warning = f'{kind} lifetime was capped shorter than specified ttl; expires "20'
    assert outcome.err.startswith(warning)
    assert run(f"{line} -ttl 30m").err == ""
