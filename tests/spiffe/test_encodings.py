"""Base64url and JSON have one reading each."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finial.spiffe import base64url, strict_json


@given(st.binary())
def test_base64url_is_read_back_and_is_the_standards(data: bytes) -> None:
    text = base64url.encode(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert base64url.decode(text.encode()) == data


@given(st.binary(max_size=12) | st.text("AQgw-_+/=\n ", max_size=8).map(str.encode))
def test_every_text_but_the_canonical_one_is_refused(text: bytes) -> None:
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(data).encode() == text


@pytest.mark.parametrize("text", [b"QQ==", b"QR", b"A", b"QQ\n", b"+A", b"/A", b"AA=", b"QUI9="])
def test_padding_and_other_alphabets_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"b":[{"a":1,"a":2}]}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":1' + b"0" * 50 + b"}",
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":1} x',
        b"[]",
        b"null",
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":' * 100_000,
    ],
)
def test_json_with_two_readings_or_none_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        strict_json.read_object(text)


def test_json_of_the_plain_kind_is_read() -> None:
    text = '{"a":[1,-2.5,true,null,"é\\u00e9\\ud83d\\ude00"],"b":{}}'
    assert strict_json.read_object(text.encode()) == {
        "a": [1, -2.5, True, None, "éé😀"],
        "b": {},
    }
    assert strict_json.is_integer(5)
    assert not strict_json.is_integer(True)
    assert not strict_json.is_integer(5.0)
