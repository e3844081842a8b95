import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.runtime.config.document import MOST_DEPTH
from finial.runtime.config.errors import ConfigError
from finial.runtime.config.toml_form import parse_toml

TEXT = """# a server
[server]
trust_domain = "example.org"
ratelimit = { attestation = false }
ca_subject.country = ["US"]

[plugins.KeyManager.disk.plugin_data]
keys_path = "/keys"

[[plugins.Extra]]
name = "a"

[[plugins.Extra]]
"quoted name" = "b"
[plugins.Extra.sub]
deep = 1
"""


def test_toml_has_the_shape_that_hcl_has() -> None:
    assert parse_toml(TEXT, "f").plain() == {
        "server": {
            "trust_domain": "example.org",
            "ratelimit": {"attestation": False},
            "ca_subject": {"country": ["US"]},
        },
        "plugins": {
            "KeyManager": {"disk": {"plugin_data": {"keys_path": "/keys"}}},
            "Extra": [{"name": "a"}, {"quoted name": "b", "sub": {"deep": 1}}],
        },
    }


def test_keys_know_their_lines() -> None:
    document = parse_toml(TEXT, "s.toml")
    lines = {
        ("server",): 2,
        ("server", "trust_domain"): 3,
        ("server", "ratelimit", "attestation"): 4,
        ("server", "ca_subject", "country"): 5,
        ("server", "ca_subject", "country", 0): 5,
        ("plugins", "KeyManager", "disk", "plugin_data", "keys_path"): 8,
        ("plugins", "Extra", 0, "name"): 11,
        ("plugins", "Extra", 1, "quoted name"): 14,
        ("plugins", "Extra", 1, "sub", "deep"): 16,
    }
    assert {path: document.mark(path).line for path in lines} == lines


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a = ", "f:1:1: invalid value"),
        ("[a]\nb = 1\nb = 2\n", "f:3:6: cannot overwrite a value"),
        ("a = 1979-05-27", "f:1:1: no setting is a date or a time; quote it if it is a text"),
        ("a = " + "[" * 5000, f"f: nested deeper than {MOST_DEPTH} levels"),
        (".".join("a" * 500) + " = 1", f"f:1:1: nested deeper than {MOST_DEPTH} levels"),
        ("a = " + "9" * 5000, "f"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, start: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, "f")
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


@given(st.text() | st.lists(st.sampled_from([*'[]{}"=\n.,', "a", "'", '"""', "1"])).map("".join))
def test_any_text_is_a_document_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_toml(text, "f").plain()
