import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.runtime.config import ConfigError, load_file
from finial.runtime.config.document import MOST_BYTES
from finial.runtime.config.loader import expand, parse_document


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conf", "server {\r\n  x = 1\r\n}\r\n"),
        ("a.hcl", "\ufeffserver { x = 1 }"),
        ("a.conf", ' \n{"server": {"x": 1}}'),
        ("a.json", '{"server": {"x": 1}}'),
        ("a.toml", "[server]\nx = 1\n"),
        ("A.TOML", "server.x = 1"),
    ],
)
def test_the_format_is_told_by_name_and_first_character(
    tmp_path: Path, name: str, content: str
) -> None:
    assert load_file(write(tmp_path, name, content)).plain() == {"server": {"x": 1}}


def test_what_cannot_be_read_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_file(tmp_path / "gone.conf")
    assert str(caught.value) == (
        f"{tmp_path}/gone.conf: cannot read the configuration file: "
        "no such file or directory; name another with -config"
    )
    with pytest.raises(ConfigError, match="is a directory"):
        load_file(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\nb = \xff\xfe", "b.conf:2:5: no UTF-8 text; save the file as UTF-8"),
        (b"a = 1\nb\0", "b.conf:2:2: a zero byte; is it a text file?"),
        (b"\x7fELF\x02\x01\x01\0", "a zero byte"),
        (b"#" * (MOST_BYTES + 1), f"b.conf: larger than {MOST_BYTES} bytes; is it the right"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_file(write(tmp_path, "b.conf", content))
    assert message in str(caught.value)


def test_variables_are_put_in_before_parsing_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conf", 'a = "$ONE-${TWO}x"\n$KEY = "^foo$"\n')
    env = {"ONE": "1", "TWO": "2", "KEY": "b"}
    assert load_file(path, expand_env=True, env=env).plain() == {"a": "1-2x", "b": "^foo$"}
    path = write(tmp_path, "b.conf", 'a = "$ONE-${TWO}x"')
    assert load_file(path, env=env).plain() == {"a": "$ONE-${TWO}x"}


def test_every_missing_variable_is_named_at_once() -> None:
    text = 'a = "$GONE"\n# $COMMENTED\n  // ${ALSO}\nb = "${LOST}" # $LATE\n'
    with pytest.raises(ConfigError) as caught:
        expand(text, {}, "f")
    way_out = "set it, or start without -expandEnv"
    assert str(caught.value).splitlines() == [
        f"f:1:6: environment variable GONE is not set; {way_out}",
        f"f:4:6: environment variable LOST is not set; {way_out}",
        f"f:4:17: environment variable LATE is not set; {way_out}",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ${", "${ that is not closed"),
        ("a = ${X\n}", "${ that is not closed"),
        ("a = ${}", "no variable's name"),
        ("a = ${A B}", "no variable's name"),
        ("a = $1", "no variable's name"),
        ("a = $$", "no variable's name"),
    ],
)
def test_a_dollar_that_starts_no_variable_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(text, {"X": "x"}, "f")
    assert message in str(caught.value)


def test_the_value_of_a_variable_is_not_expanded_again() -> None:
    assert expand("$A", {"A": "$B", "B": "x"}, "f") == "$B"


@given(st.text(), st.sampled_from(["f.conf", "f.toml", "f.json"]))
def test_any_text_is_a_document_or_a_config_error(text: str, file: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_document(expand(text, {"A": "b"}, file), file).plain()
