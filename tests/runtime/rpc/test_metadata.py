import pytest

from finial.runtime.rpc.metadata import MetadataError, decode, encode


def test_metadata_survives_the_wire() -> None:
    pairs = (("x-a", "one"), ("x-a", "two, three"), ("x-bin", b"\0\xff\xfe"), ("e", ""))
    assert decode(encode(pairs)) == pairs


def test_names_become_lower_case() -> None:
    assert encode([("X-A", "v")]) == [(b"x-a", b"v")]


@pytest.mark.parametrize(
    "name", [":path", "a b", "", "ü", "te", "grpc-status", "content-type", "a:"]
)
def test_a_name_that_cannot_travel_is_refused(name: str) -> None:
    with pytest.raises(MetadataError):
        encode([(name, "v")])


@pytest.mark.parametrize("value", ["ü", "a\nb", "\0", " a", "a "])
def test_a_value_that_cannot_travel_is_refused(value: str) -> None:
    with pytest.raises(MetadataError):
        encode([("x", value)])


def test_an_error_does_not_show_the_value() -> None:
    with pytest.raises(MetadataError) as caught:
        encode([("authorization", "secret\n")])
    assert "secret" not in str(caught.value)


def test_the_protocols_own_fields_are_not_the_applications() -> None:
    headers = [(b":path", b"/"), (b"te", b"trailers"), (b"grpc-timeout", b"1S"), (b"x", b"y")]
    assert decode(headers) == (("x", "y"),)


def test_binary_values_come_padded_joined_or_damaged() -> None:
    headers = [(b"a-bin", b"AAE="), (b"a-bin", b"AAE,/w"), (b"a-bin", b"!!")]
    assert decode(headers) == (("a-bin", b"\0\1"), ("a-bin", b"\0\1"), ("a-bin", b"\xff"))
