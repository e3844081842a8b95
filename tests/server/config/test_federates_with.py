import pytest

from finial.runtime.config import ConfigError, parse_document
from finial.server.config import ServerConfig, server_config
from finial.spiffe.federation import Relationship

WEB = Relationship.parse(trust_domain="b.org", url="https://b.org:8443/x", profile="https_web")
SPIFFE = Relationship.parse(
    trust_domain="c.org",
    url="https://c.org/",
    profile="https_spiffe",
    endpoint_id="spiffe://d.org/endpoint",
)
WEB_BLOCK = """federates_with "b.org" {
  bundle_endpoint_url = "https://b.org:8443/x"
  bundle_endpoint_profile "https_web" {}
}"""
SPIFFE_BLOCK = """federates_with "c.org" {
  bundle_endpoint_url = "https://c.org/"
  bundle_endpoint_profile "https_spiffe" { endpoint_spiffe_id = "spiffe://d.org/endpoint" }
}"""
NESTED = """federates_with = {
  "spiffe://b.org" = {
    bundle_endpoint_url = "https://b.org:8443/x"
    bundle_endpoint_profile = { https_web = {} }
  }
  "c.org" = {
    bundle_endpoint_url = "https://c.org/"
    bundle_endpoint_profile = {
      https_spiffe = { endpoint_spiffe_id = "spiffe://d.org/endpoint" }
    }
  }
}"""
JSON = """{
  "server": {
    "trust_domain": "example.org",
    "data_dir": "/d",
    "federation": {"federates_with": {
      "b.org": {
        "bundle_endpoint_url": "https://b.org:8443/x",
        "bundle_endpoint_profile": {"https_web": {}}
      },
      "c.org": {
        "bundle_endpoint_url": "https://c.org/",
        "bundle_endpoint_profile": [
          {"https_spiffe": {"endpoint_spiffe_id": "spiffe://d.org/endpoint"}}
        ]
      }
    }}
  },
  "plugins": {
    "DataStore": {"sql": {"plugin_data": {
      "database_type": "sqlite3", "connection_string": "/d/db"
    }}},
    "NodeAttestor": {"join_token": {}},
    "KeyManager": {"memory": {}}
  }
}"""
FILE = """server {{
trust_domain = "example.org", data_dir = "/d"
federation {{
{section}
}}
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3", connection_string = "/d/db" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data {{}} }}
}}
"""


def config(section: str) -> ServerConfig:
    return server_config(parse_document(FILE.format(section=section), "s.conf"))


def problems(section: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(section)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("section", [f"{WEB_BLOCK}\n{SPIFFE_BLOCK}", NESTED])
def test_relationships_are_read_in_either_form_of_hcl(section: str) -> None:
    loaded = config(section)
    assert loaded.server.federation.relationships == (WEB, SPIFFE)
    assert loaded.warnings == ()


def test_relationships_are_read_from_json() -> None:
    loaded = server_config(parse_document(JSON, "s.json"))
    assert loaded.server.federation.relationships == (WEB, SPIFFE)


def test_there_are_none_by_default() -> None:
    assert config("").server.federation.relationships == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("https://b.org:8443/x", "http://b.org", 5, "must use the https scheme"),
        ("https://b.org:8443/x", "https://u:p@b.org", 5, "must not contain user info"),
        ("https://b.org:8443/x", "", 5, "bundle endpoint URL is malformed"),
        ('"https_web"', '"https_none"', 6, "unknown key; did you mean https_"),
        ("bundle_endpoint_profile", "profile", 6, "unknown key"),
        ("spiffe://d.org/endpoint", "spiffe://d.org", 10, "is a trust domain's own ID"),
        ("spiffe://d.org/endpoint", "d.org", 10, "is no SPIFFE ID"),
        ('endpoint_spiffe_id = "spiffe://d.org/endpoint"', "", 10, "must be configured"),
    ],
)
def test_what_is_wrong_with_one_is_told_with_its_place(
    old: str, new: str, line: int, problem: str
) -> None:
    found = problems(f"{WEB_BLOCK}\n{SPIFFE_BLOCK}".replace(old, new, 1))
    assert any(each.startswith(f"s.conf:{line}:") and problem in each for each in found), found
    name = "b.org" if line < 8 else "c.org"
    assert all(f" server.federation.federates_with.{name}." in each for each in found)


@pytest.mark.parametrize(
    "profile",
    [
        "",
        "bundle_endpoint_profile {}",
        """bundle_endpoint_profile "https_web" {}
        bundle_endpoint_profile "https_spiffe" { endpoint_spiffe_id = "spiffe://b.org/x" }""",
    ],
)
def test_exactly_one_profile_is_expected(profile: str) -> None:
    section = WEB_BLOCK.replace('bundle_endpoint_profile "https_web" {}', profile)
    [found] = problems(section)
    assert "bundle_endpoint_profile" in found
    assert "exactly one" in found or "must be configured" in found


@pytest.mark.parametrize("name", ["B.org", "b.org/x", ""])
def test_a_relationship_is_with_a_trust_domain(name: str) -> None:
    [found] = problems(WEB_BLOCK.replace('"b.org"', f'"{name}"'))
    assert f'could not parse trust domain "{name}": ' in found


@pytest.mark.parametrize("name", ["example.org", "spiffe://example.org"])
def test_a_server_does_not_federate_with_itself(name: str) -> None:
    section = f"{SPIFFE_BLOCK}\n{WEB_BLOCK}".replace('"b.org"', f'"{name}"')
    [found] = problems(section)
    assert found == (
        f"s.conf:8:16: server.federation.federates_with.{name}: "
        "is the server's own trust domain; remove it"
    )


def test_a_trust_domain_is_named_once() -> None:
    again = WEB_BLOCK.replace('"b.org"', '"spiffe://b.org"')
    [found] = problems(f"{WEB_BLOCK}\n{again}")
    assert "b.org is configured twice; keep one" in found
    found = problems(f"{WEB_BLOCK}\n{WEB_BLOCK}")[0]
    assert "set twice" in found
