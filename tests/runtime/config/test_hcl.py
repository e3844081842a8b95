import contextlib
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.runtime.config.document import MOST_DEPTH
from finial.runtime.config.errors import ConfigError
from finial.runtime.config.hcl import parse_hcl


def plain(text: str) -> dict[str, Any]:
    return parse_hcl(text, "f").plain()


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_hcl(text, "f")
    [problem] = caught.value.problems
    return str(problem)


def test_a_file_of_spires_shape_is_read() -> None:
    text = """
    server {
        bind_port = "8081" # as a text
        ratelimit { attestation = false, signing = false }
    }
    // plugins have labels
    plugins {
        DataStore "sql" { plugin_data { database_type = "sqlite3" } }
        NodeAttestor "join_token" { plugin_data {} }
        NodeAttestor "x509pop" { plugin_data = { ca = ["a", "b",] } }
        /* over
           lines */
        KeyManager "memory" {}
    }
    """
    assert plain(text) == {
        "server": {"bind_port": "8081", "ratelimit": {"attestation": False, "signing": False}},
        "plugins": {
            "DataStore": {"sql": {"plugin_data": {"database_type": "sqlite3"}}},
            "NodeAttestor": [
                {"join_token": {"plugin_data": {}}},
                {"x509pop": {"plugin_data": {"ca": ["a", "b"]}}},
            ],
            "KeyManager": {"memory": {}},
        },
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-5", -5),
        ("0x1F", 31),
        ("-0x10", -16),
        ("0600", 0o600),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.5e3", 1500.0),
        ("1e-2", 0.01),
        ("true", True),
        ("false", False),
        ('""', ""),
        (r'"a\n\t\"\\\u00e9\U0001F600\x41\101"', 'a\n\t"\\é😀AA'),
        ('"${env "HOME"} $x {"', '${env "HOME"} $x {'),
        ('"# no // comment /* here */"', "# no // comment /* here */"),
        ("[]", []),
        ('[1, "a", [true], {b = 2}]', [1, "a", [True], {"b": 2}]),
        ("{}", {}),
        ("{ a = 1, b = 2 }", {"a": 1, "b": 2}),
        ("<<EOF\nfirst\n  second\nEOF\n", "first\n  second\n"),
        ("<<EOF\nEOF\n", ""),
        ("<<EOF\nfirst\n  EOF\n", "first\n  "),
        ("<<-EOF\n    first\n      second\n    EOF\n", "first\n  second\n"),
        ("<<-EOF\n  first\nsecond\n    EOF\n", "  first\nsecond\n"),
    ],
)
def test_values_are_what_hcl_1_makes_of_them(text: str, value: Any) -> None:
    assert plain(f"a = {text}") == {"a": value}


def test_repeated_blocks_become_a_list_and_labels_nest() -> None:
    assert plain("a { x = 1 }\na { x = 2 }\na { x = 3 }") == {
        "a": [{"x": 1}, {"x": 2}, {"x": 3}],
    }
    assert plain('a "b" "c" { d = 1 }') == {"a": {"b": {"c": {"d": 1}}}}
    assert plain('"quoted key" = 1\na-b.c = 2') == {"quoted key": 1, "a-b.c": 2}


def test_every_key_and_value_knows_its_place() -> None:
    document = parse_hcl('server {\n  bind_port = 1\n  ids = ["a",\n    "b"]\n}\n', "server.conf")
    places = {
        (): (1, 1),
        ("server",): (1, 1),
        ("server", "bind_port"): (2, 3),
        ("server", "ids"): (3, 3),
        ("server", "ids", 1): (4, 5),
        ("server", "missing"): (1, 1),
    }
    for path, (line, column) in places.items():
        mark = document.mark(path)
        assert (mark.file, mark.line, mark.column) == ("server.conf", line, column)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1s", 'f:1:5: a number that runs into letters; quote it, as in "1h"'),
        ("a = 08", "f:1:5: an impossible number"),
        ("a = 1e999", "f:1:5: a number out of range"),
        ("a = " + "9" * 5000, "f:1:5: an impossible number"),
        ("a = yes", "f:1:5: expected a value, found 'yes'; texts are quoted"),
        ("a = 'x'", 'f:1:5: unexpected "\'"; strings take double quotes'),
        ("a: 1", "f:1:2: unexpected ':'; write key = value"),
        ("a", "f:1:2: expected a block or = after 'a', found end of file"),
        ("a b = 1", "f:1:5: expected a block or = after 'b', found '='"),
        ("a {\n b = 1\n", "f:3:1: a block that is not closed; close it with }"),
        ("}", "f:1:1: expected a key, found '}'"),
        ("a = [1 2]", "f:1:8: expected a comma or ] in a list, found a number"),
        ("a = [1,", "f:1:8: expected a value, found end of file"),
        ("\na = 1\na = 2", "f:3:1: a: set twice, first in line 2; keep one"),
        ("a = [{}]\na {}", "f:2:1: a: set twice, first in line 1; keep one"),
        ('a = "x', 'f:1:5: a string that is not closed; close it with " on the same line'),
        ('a = "x\ny"', 'f:1:5: a string that is not closed; close it with " on the same line'),
        (r'a = "\q"', r"f:1:6: unknown escape after a backslash: 'q'; write a backslash as \\"),
        (r'a = "\UFFFFFFFF"', "f:1:6: an escape beyond Unicode"),
        (r'a = "\ud800"', "f:1:5: an escape that names half a character"),
        ('a = "${x"', "f:1:6: ${ that is not closed; close it with }"),
        ("a = <<EOF\nx", "f:1:5: a heredoc that is not closed by EOF on a line of its own"),
        ("a = <<\nx", "f:1:5: a heredoc without a name; begin it with <<EOF and a new line"),
        ("a <<EOF\nx\nEOF\n", "f:1:3: expected a block or = after 'a', found a heredoc"),
        ("/* a", "f:1:1: a comment that is not closed; close it with */"),
        ("{" * 5, "f:1:1: expected a key, found '{'"),
        ("a {" * 500, f"f:1:{3 * MOST_DEPTH + 4}: nested deeper than {MOST_DEPTH} levels"),
        ("a = " + "[" * 500, f"f:1:{MOST_DEPTH + 5}: nested deeper than {MOST_DEPTH} levels"),
        ("a " * 500 + "{}", f"f:1:1002: nested deeper than {MOST_DEPTH} levels"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_the_way_out(text: str, message: str) -> None:
    assert refusal(text) == message


def test_a_mistake_beside_a_secret_does_not_print_it() -> None:
    assert "s3cret" not in refusal('join_token "s3cret"')
    assert "s3cret" not in refusal('join_token = ["a" "s3cret"]')


@given(st.text())
def test_any_text_is_a_document_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_hcl(text, "f").plain()


PIECES = [
    *'{}[]=,"\n $',
    "a",
    "b ",
    "<<E\n",
    "E\n",
    "<<-",
    "/*",
    "*/",
    "#",
    "//",
    "${",
    "\\",
    "1",
    "-",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_heap_of_tokens_is_a_document_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_hcl(text, "f").plain()


KEYS = st.text(string.ascii_letters, min_size=1).filter(lambda key: key not in ("true", "false"))
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "${" not in text),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


def render(value: Any) -> str:
    """The value as HCL 1."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(escaped(char) for char in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(render(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{\n" + "\n".join(f"{key} = {render(item)}" for key, item in value.items()) + "\n}"
    return repr(value)


def escaped(char: str) -> str:
    return char if char.isalnum() or char in " $#/{}" else f"\\U{ord(char):08x}"


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_is_written_as_hcl_is_read_back(value: dict[str, Any]) -> None:
    assert plain(render(value)[1:-1]) == value
