from collections.abc import Mapping
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from finial.runtime.config import ConfigError, Document, Reader, Section, Unserved, parse_document
from finial.runtime.config.document import overridden
from finial.runtime.config.fields import (
    BindAddress,
    Duration,
    FilePath,
    FilledText,
    Flag,
    LogFormat,
    LogLevel,
    Port,
    PositiveDuration,
    SecretText,
    SocketMode,
    SpiffeIdText,
    Text,
    TrustDomainName,
    key_type,
    one_of,
    whole_number,
)
from finial.runtime.secret import Secret


class Inner(Section):
    """A section within."""

    no_effect: ClassVar = {"old": "it is gone"}
    size: Annotated[int, whole_number(1, 9)] = 1


class Outer(Section):
    """A section with one key of each kind."""

    unserved: ClassVar = {"telepathy": Unserved("speak", (False, "false", [], 0))}
    no_effect: ClassVar = {"typed": "nobody asks", "loose": "nobody asks"}

    name: FilledText
    inner: Inner = Inner()
    named: Mapping[str, Inner] = Field(default_factory=dict)
    flag: Flag = False
    text: Text = ""
    port: Port = 1
    wait: Duration = 0.0
    ttl: PositiveDuration = 1.0
    half: PositiveDuration = Field(default_factory=lambda known: float(known["ttl"]) / 2)
    typed: Duration | None = None
    items: tuple[Text, ...] = ()
    path: FilePath | None = None
    level: LogLevel = "info"
    form: LogFormat = "text"
    domain: TrustDomainName | None = None
    ids: tuple[SpiffeIdText, ...] = ()
    address: BindAddress = "::"
    mode: SocketMode = 0o600
    secret: SecretText | None = None
    kind: Annotated[str, key_type("kind", "ec-p256", "rsa-2048")] = "ec-p256"
    word: Annotated[str, one_of("pem", "spiffe")] = "pem"


def read(text: str, file: str = "f.conf") -> tuple[Outer | None, Reader]:
    document = parse_document(text, file)
    reader = Reader()
    node = document.child("outer")
    assert node is not None
    return reader.read(Outer, node, ("outer",)), reader


def value(line: str, key: str) -> object:
    outer, reader = read(f'outer {{ name = "x"\n {line} }}')
    assert not reader.problems
    return getattr(outer, key)


def problem(line: str) -> str:
    outer, reader = read(f'outer {{ name = "x"\n {line} }}')
    assert outer is None
    [found] = reader.problems
    assert found.mark.line == 2
    return str(found).removeprefix("f.conf:2:2: outer.")


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ("port = 80", "port", 80),
        ('port = "80"', "port", 80),
        ("port = 80.0", "port", 80),
        ('flag = "true"', "flag", True),
        ("flag = 1", "flag", True),
        ("text = 5", "text", "5"),
        ('wait = "1h30m"', "wait", 5400.0),
        ('wait = "0"', "wait", 0.0),
        ("wait = 0", "wait", 0.0),
        ('ttl = "10s"', "half", 5.0),
        ('items = ["a", 1]', "items", ("a", "1")),
        ('level = "WARN"', "level", "warn"),
        ('level = "warning"', "level", "warn"),
        ('form = "JSON"', "form", "json"),
        ('address = "0:0::1"', "address", "::1"),
        ('mode = "0660"', "mode", 0o660),
        ('mode = "0o660"', "mode", 0o660),
        ("mode = 0660", "mode", 0o660),
        ("inner { size = 3 }", "inner", Inner(size=3)),
        ("inner = { size = 3 }", "inner", Inner(size=3)),
        ("", "named", {}),
        ('named "a.b" { size = 3 }', "named", {"a.b": Inner(size=3)}),
        ('named "a" {}\n named "b" { size = 2 }', "named", {"a": Inner(), "b": Inner(size=2)}),
        ('named = { "a" = { size = 3 } }', "named", {"a": Inner(size=3)}),
        ('secret = "s3cret"', "secret", Secret("s3cret")),
    ],
)
def test_values_are_taken_as_spire_takes_them(line: str, key: str, expected: object) -> None:
    assert value(line, key) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("port = 0", "port: must be a port from 1 to 65535, not 0"),
        ('port = "x"', "port: must be a whole number, not 'x'"),
        ("port = 1.5", "port: must be a whole number, not a number"),
        ("port = true", "port: must be a whole number, not a boolean"),
        ("port = []", "port: must be a whole number, not a list"),
        ('flag = "yes"', "flag: must be true or false, not 'yes'"),
        ("flag = {}", "flag: must be true or false, not a table"),
        ("text = true", "text: must be a text, not a boolean; quote it"),
        ('wait = "-1s"', 'wait: must not be negative, as "-1s" is'),
        ('ttl = "0s"', 'ttl: must be longer than zero, not "0s"'),
        ("ttl = 60", 'ttl: duration "60" lacks a unit; write it as "1h30m", "90s" or "300ms"'),
        ("ttl = []", 'ttl: must be a duration such as "1h30m", not a list'),
        ('items = "a"', 'items: must be a list; write items = ["…"]'),
        ('path = ""', "path: must not be empty; give it a value, or leave the key out"),
        ("level = []", "level: must be a text, not a list; quote it"),
        ('form = "xml"', 'form: unknown logger format: "xml"; use text or json'),
        ('address = "localhost"', 'address: could not parse bind_address "localhost"; give an IP'),
        ('mode = "0666"', "mode: must open the socket to its owner and at most to its group"),
        ('mode = "0070"', "mode: must open the socket to its owner and at most to its group"),
        ('mode = "rw"', "mode: must be an octal mode, not 'rw'; as \"0600\""),
        ("mode = 600", "mode: must open the socket to its owner"),
        ('domain = "A b"', 'domain: could not parse trust_domain "A b": '),
        ('kind = "rsa"', 'kind: error parsing kind: key type "rsa" is unknown; must be one of [ec'),
        ('word = "der"', "word: must be pem or spiffe, not 'der'"),
        ("inner = 3", "inner: must be a section; write inner { … }"),
        ("nam = 1", "nam: unknown key; did you mean name?"),
        ("zzzzzz = 1", "zzzzzz: unknown key; remove it"),
        ("telepathy = true", "telepathy: is not served by Finial; speak"),
        ("telepathy = 1", "telepathy: is not served by Finial; speak"),
        ('typed = "x"', 'typed: "x" is no duration'),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_the_way_out(line: str, message: str) -> None:
    assert problem(line).startswith(message)


def test_problems_deep_inside_are_found_with_their_own_place() -> None:
    _, reader = read('outer {\n name = "x"\n inner {\n  size = 0\n  oops = 1\n }\n ids = ["a"]\n}')
    assert [str(each)[: len("f.conf:0:0: outer.inner.size")] for each in reader.problems] == [
        "f.conf:5:3: outer.inner.oops",
        "f.conf:4:3: outer.inner.size",
        'f.conf:7:9: outer.ids[0]: "a',
    ]


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    _, reader = read('outer {\n port = 0\n bogus = 1\n telepathy = true\n flag = "x"\n}')
    with pytest.raises(ConfigError) as caught:
        reader.refuse()
    assert [each.key for each in caught.value.problems] == [
        "outer.name",
        "outer.port",
        "outer.bogus",
        "outer.telepathy",
        "outer.flag",
    ]
    assert str(caught.value).splitlines()[0] == (
        "f.conf:1:1: outer.name: name must be configured; add name to this section"
    )


def test_a_wrong_value_does_not_blame_the_default_that_follows_from_it() -> None:
    assert problem('ttl = "x"').startswith("ttl: ")


@pytest.mark.parametrize("harmless", ["false", '"false"', "[]", "0"])
def test_a_key_that_is_not_served_may_ask_for_what_is_done_anyway(harmless: str) -> None:
    outer, reader = read(f'outer {{ name = "x"\n telepathy = {harmless} }}')
    assert outer is not None
    assert not reader.problems


def test_a_key_without_effect_is_warned_of_and_never_ignored_in_silence() -> None:
    text = 'outer { name = "x"\n typed = "5s"\n loose = [1]\n inner { old = 1 } }'
    outer, reader = read(text)
    assert outer is not None
    assert outer.typed == 5
    assert [str(each) for each in reader.told()] == [
        "f.conf:2:2: outer.typed: has no effect: nobody asks; remove it",
        "f.conf:3:2: outer.loose: has no effect: nobody asks; remove it",
        "f.conf:4:10: outer.inner.old: has no effect: it is gone; remove it",
    ]


def test_a_repeated_block_counts_as_one() -> None:
    outer, reader = read('outer { name = "x" }\nouter { inner { size = 3 } }')
    assert outer is not None
    assert (outer.name, outer.inner.size, reader.problems) == ("x", 3, [])


def test_a_key_set_in_two_blocks_is_refused() -> None:
    _, reader = read('outer { name = "x" }\nouter { name = "y"\n port = 0 }')
    assert [str(each) for each in reader.problems] == [
        "f.conf:2:9: outer.name: set twice, first in line 1; keep one",
        "f.conf:3:2: outer.port: must be a port from 1 to 65535, not 0",
    ]


def test_json_and_toml_are_checked_alike() -> None:
    _, reader = read('{"outer": {"name": "x",\n "port": 0}}')
    assert str(reader.problems[0]).startswith("f.conf:2:2: outer.port: must be a port")
    _, reader = read('[outer]\nname = "x"\nport = 0', "f.toml")
    assert str(reader.problems[0]).startswith("f.toml:3:1: outer.port: must be a port")


def test_null_in_json_is_a_key_left_out() -> None:
    outer, reader = read('{"outer": {"name": "x", "port": null}}')
    assert outer is not None
    assert outer.port == 1
    assert not reader.problems


def test_secrets_are_not_printed_by_errors_documents_or_sections() -> None:
    outer, reader = read('outer { name = "x"\n secret = ["s3cret"]\n ids = ["no"] }')
    assert outer is None
    assert "s3cret" not in "".join(str(each) for each in reader.problems)
    document = parse_document('outer { secret = "s3cret" }', "f")
    assert "s3cret" not in repr(document)
    outer, _ = read('outer { name = "x"\n secret = "s3cret" }')
    assert outer is not None
    assert "s3cret" not in repr(outer) + outer.model_dump_json(include={"name"})


def override(document: Document, **flags: str) -> tuple[Outer | None, Reader]:
    document = overridden(document, "outer", flags)
    reader = Reader()
    node = document.child("outer")
    assert node is not None
    return reader.read(Outer, node, ("outer",)), reader


def test_flags_replace_what_the_file_says_and_errors_name_the_command_line() -> None:
    document = parse_document('outer { name = "x"\n port = 0 }', "f")
    outer, _ = override(document, port="7")
    assert outer is not None
    assert (outer.name, outer.port) == ("x", 7)
    assert document.plain() == {"outer": {"name": "x", "port": 0}}
    _, reader = override(document, port="y")
    assert [str(each) for each in reader.problems] == [
        "command line: outer.port: must be a whole number, not 'y'"
    ]


def test_flags_suffice_without_the_section() -> None:
    outer, _ = override(parse_document("", "f"), name="x")
    assert outer is not None
    assert outer.name == "x"


def test_what_is_wrong_in_a_named_section_is_told_with_its_name_and_place() -> None:
    outer, reader = read('outer {\n name = "x"\n named "a" {}\n named "b.c" {\n size = 0\n }\n}')
    assert outer is None
    [found] = reader.problems
    assert str(found) == "f.conf:5:2: outer.named.b.c.size: must be a number from 1 to 9, not 0"
    _, reader = read('outer {\n name = "x"\n named = 5\n}')
    [found] = reader.problems
    assert found.message == "must be a section"


def test_a_named_section_of_a_repeated_block_is_found_by_its_name() -> None:
    document = parse_document('outer {\n named "a" {}\n named "b" {}\n}', "f.conf")
    assert document.mark(("outer", "named", "b")).line == 3
    assert document.mark(("outer", "named", "none")).line == 2
