"""OpenID Connect discovery: what is served, and that tokens validate by it."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from finial.runtime.web import Request, Response
from finial.server.federation.oidc import Discovery, OidcDocuments
from finial.server.registry.feed import BundleCache
from finial.spiffe.bundle import Bundle, JwtAuthority, WitAuthority
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.ca import FakeCa
from tests.fakes.endpoints import EndpointsLab
from tests.server.test_config import config, problems

OWN = TrustDomain("example.org")
WELL_KNOWN = "/.well-known/openid-configuration"
HOST = "oidc.example.org"


def served(bundle: Bundle | None = None, **settings: Any) -> OidcDocuments:
    cache = BundleCache()
    if bundle is not None:
        cache.put(bundle)
    return OidcDocuments(OWN, cache, Discovery(frozenset({HOST}), **settings))


def ask(documents: OidcDocuments, path: str, *, host: str = HOST, secure: bool = True) -> Response:
    return documents.routes().answer(Request("GET", path, host, secure=secure))


def discovered(documents: OidcDocuments, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(documents, WELL_KNOWN, **options).body)
    return found


def test_the_discovery_document_is_spire_s() -> None:
    assert ask(served(), WELL_KNOWN).body.decode() == (
        '{\n  "issuer": "https://oidc.example.org",\n'
        '  "jwks_uri": "https://oidc.example.org/keys",\n'
        '  "authorization_endpoint": "",\n'
        '  "response_types_supported": [\n    "id_token"\n  ],\n'
        '  "subject_types_supported": [\n    "public"\n  ],\n'
        '  "id_token_signing_alg_values_supported": [\n'
        '    "RS256",\n    "ES256",\n    "ES384"\n  ]\n}'
    )


@pytest.mark.parametrize(
    "host",
    ["", "other.example.org", "oidc.example.org.evil.test", "x@oidc.example.org", "127.0.0.1"],
)
def test_a_host_that_is_not_configured_is_refused(host: str) -> None:
    answer = ask(served(), WELL_KNOWN, host=host)
    assert answer.status == 400
    assert b"example" not in answer.body


@pytest.mark.parametrize("host", ["OIDC.example.org", "oidc.example.org:8443"])
def test_a_configured_host_may_have_a_port_and_capitals(host: str) -> None:
    assert discovered(served(), host=host)["issuer"] == f"https://{host.lower()}"


def test_the_issuer_and_the_keys_place_may_be_set() -> None:
    issued = discovered(served(jwt_issuer="https://issuer.test/a/"))
    assert issued["issuer"] == "https://issuer.test/a/"
    assert issued["jwks_uri"] == "https://issuer.test/a/keys"
    assert discovered(served(jwks_uri="https://keys.test/k"))["jwks_uri"] == "https://keys.test/k"


def test_a_prefix_stands_before_both_paths_and_in_the_issuer() -> None:
    documents = served(FakeCa().bundle(), path_prefix="/tenant")
    found = json.loads(ask(documents, f"/tenant{WELL_KNOWN}").body)
    assert found["issuer"] == "https://oidc.example.org/tenant"
    assert found["jwks_uri"] == "https://oidc.example.org/tenant/keys"
    assert ask(documents, "/tenant/keys").status == 200
    assert ask(documents, "/keys").status == 404


def test_urls_are_http_only_where_that_is_allowed_and_asked_for() -> None:
    assert discovered(served(), secure=False)["issuer"].startswith("https://")
    relaxed = served(allow_insecure_scheme=True)
    assert discovered(relaxed, secure=False)["issuer"].startswith("http://")
    assert discovered(relaxed)["issuer"].startswith("https://")


def test_keys_are_those_of_jwt_svids_alone_with_their_algorithm() -> None:
    ca = FakeCa()
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    bundle = Bundle(
        OWN,
        ca.bundle().x509_authorities,
        (
            *ca.bundle().jwt_authorities,
            JwtAuthority.from_key("big", curve),
            JwtAuthority.from_key("rsa", rsa.generate_private_key(65537, 2048).public_key()),
        ),
        (WitAuthority.from_key("wit", curve),),
    )
    keys = json.loads(ask(served(bundle), "/keys").body)["keys"]
    assert [(key["kid"], key["alg"]) for key in keys] == [
        (ca.key_id, "ES256"),
        ("big", "ES384"),
        ("rsa", "RS256"),
    ]
    assert [list(key) for key in keys] == [
        ["kty", "kid", "crv", "alg", "x", "y"],
        ["kty", "kid", "crv", "alg", "x", "y"],
        ["kty", "kid", "alg", "n", "e"],
    ]


def test_the_use_of_keys_is_told_where_it_is_wanted() -> None:
    [key] = json.loads(ask(served(FakeCa().bundle(), set_key_use=True), "/keys").body)["keys"]
    assert next(iter(key.items())) == ("use", "sig")


def test_keys_are_not_kept_by_caches() -> None:
    headers = dict(ask(served(FakeCa().bundle()), "/keys").headers)
    assert headers["Cache-Control"] == "no-cache, no-store, must-revalidate"


def test_without_keys_there_is_none_to_show() -> None:
    assert ask(served(), "/keys").status == 500
    assert ask(served(Bundle(OWN)), "/keys").status == 501


def test_keys_are_those_of_the_moment() -> None:
    cache = BundleCache()
    documents = OidcDocuments(OWN, cache, Discovery(frozenset({HOST})))
    for key_id in ("one", "two"):
        cache.put(FakeCa(key_id=key_id).bundle())
        [key] = json.loads(ask(documents, "/keys").body)["keys"]
        assert key["kid"] == key_id


def settings(folder: Path, more: str = "") -> str:
    return f"""
      {LEAST}
      oidc_discovery {{
        domains = ["{HOST}"]
        listen_socket_path = "{folder}/oidc.sock"
        insecure_addr = "127.0.0.1:80"
        health_checks {{}}
        {more}
      }}
    """


LEAST = 'trust_domain = "example.org"\n data_dir = "/d"'


async def test_a_token_validates_as_a_relying_party_does_it(tmp_path: Path) -> None:
    """Discovery, keys, and PyJWT's choice of a key by the token's header."""
    lab = EndpointsLab()
    lab.root.now = 1_000_000_000.0
    async with lab.serving(config(settings(tmp_path))):
        place = "oidc discovery, insecure"
        document = json.loads((await lab.ask(place, WELL_KNOWN, host=HOST, plain=True)).body)
        path = document["jwks_uri"].removeprefix(f"https://{HOST}")
        keys = json.loads((await lab.ask(place, path, host=HOST, plain=True)).body)
    token = lab.root.jwt("spiffe://example.org/x", "aud", iss=document["issuer"], ttl=1e10)
    jwks = jwt.PyJWKSet.from_dict(keys)
    key = jwks[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token,
        key,
        algorithms=document["id_token_signing_alg_values_supported"],
        audience="aud",
        issuer=document["issuer"],
        options={"require": ["exp", "iss", "sub"]},
    )
    assert claims["sub"] == "spiffe://example.org/x"


async def test_probes_say_whether_there_are_keys(tmp_path: Path) -> None:
    lab = EndpointsLab()
    async with lab.serving(config(settings(tmp_path))):
        place = "oidc discovery health"
        for path, status in (("/live", 200), ("/ready", 200), ("/keys", 404)):
            assert (await lab.ask(place, path, plain=True)).status == status
        lab.bundles.put(Bundle(OWN))
        assert (await lab.ask(place, "/ready", plain=True)).status == 500
        assert (await lab.ask(place, "/live", plain=True)).status == 200


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("insecure_addr = ':80'", "at least one domain must be configured"),
        ('domains = ["a"]', "is served nowhere"),
        ('domains = ["A"]\n insecure_addr = ":80"', '"A" is not a domain name'),
        ('domains = ["a"]\n insecure_addr = "80"', "must be an address and a port"),
        ('domains = ["a"]\n insecure_addr = ":80"\n jwt_issuer = "ftp://a"', "no http or https"),
        ('domains = ["a"]\n acme {}', "serve certificate files"),
    ],
)
def test_what_is_wrong_with_the_section_is_told(section: str, complaint: str) -> None:
    section = section.replace("'", '"')
    assert any(complaint in each for each in problems(f"{LEAST}\n oidc_discovery {{ {section} }}"))


@pytest.mark.parametrize(
    ("issuer", "warned"),
    [
        ("", True),
        ("https://else.test", True),
        ("https://oidc.example.org", False),
    ],
)
def test_an_issuer_that_tokens_do_not_have_is_warned_of(
    tmp_path: Path, issuer: str, warned: bool
) -> None:
    loaded = config(f'{settings(tmp_path)}\n jwt_issuer = "{issuer}"')
    told = [str(each) for each in loaded.warnings if "jwt_issuer" in str(each)]
    assert bool(told) is warned
    if warned:
        assert 'set jwt_issuer = "https://oidc.example.org"' in told[0]
