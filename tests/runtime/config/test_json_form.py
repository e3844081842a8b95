import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.runtime.config.document import MOST_DEPTH
from finial.runtime.config.errors import ConfigError
from finial.runtime.config.hcl import parse_hcl
from finial.runtime.config.json_form import parse_json


def test_json_has_the_shape_that_hcl_has() -> None:
    text = """{
      "server": {"bind_port": 8081, "admin_ids": ["a"]},
      "plugins": {"NodeAttestor": [{"join_token": {"plugin_data": {}}}, {"x": {}}]}
    }"""
    hcl = """
      server { bind_port = 8081, admin_ids = ["a"] }
      plugins {
        NodeAttestor "join_token" { plugin_data {} }
        NodeAttestor "x" {}
      }
    """
    assert parse_json(text, "f").plain() == parse_hcl(hcl, "f").plain()


def test_every_key_knows_its_place() -> None:
    document = parse_json('{\n  "a": {"b": 1},\n  "c": [1,\n    2]\n}', "f.json")
    assert str(document.mark(("a", "b"))) == "f.json:2:9"
    assert str(document.mark(("c", 1))) == "f.json:4:5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "f:1:2: expected a string in double quotes, found end of file"),
        ("{'a': 1}", 'f:1:2: expected a string in double quotes, found "\'"'),
        ('{"a" 1}', "f:1:6: expected :, found '1'"),
        ('{"a": 1 "b": 2}', "f:1:9: expected ,, found '\"'"),
        ('{"a": 1,}', "f:1:9: expected a string in double quotes, found '}'"),
        ('{"a": [1,]}', "f:1:10: expected a value, found ']'"),
        ('{"a": 01}', "f:1:8: expected ,, found '1'"),
        ('{"a": nul}', "f:1:7: expected a value, found 'n'"),
        ('{"a": "x\ny"}', "f:1:7: expected a string in double quotes, found '\"'"),
        (r'{"a": "\ud800"}', "f:1:7: an escape that names half a character"),
        ('{"a": ' + "9" * 5000 + "}", "f:1:7: an impossible number"),
        ("{} {}", "f:1:4: text after the end of the object"),
        ('{"a": 1, "a": 2}', "f:1:10: a: set twice, first in line 1; keep one"),
        ('{"a":' * 500, f"f:1:{5 * MOST_DEPTH + 6}: nested deeper than {MOST_DEPTH} levels"),
        ("[" * 500, f"f:1:{MOST_DEPTH + 2}: nested deeper than {MOST_DEPTH} levels"),
        ("[]", "f:1:1: no JSON object"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_json(text, "f")
    assert str(caught.value) == message


@given(st.text())
def test_any_text_is_a_document_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_json("{" + text, "f").plain()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc é"), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc"), JSON), st.sampled_from([None, 2]), st.booleans())
def test_what_json_writes_is_read_back(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert parse_json(text, "f").plain() == value
