import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from h2.errors import ErrorCodes

from finial.runtime.rpc import RpcError
from finial.runtime.rpc.status import (
    code_of,
    code_of_http,
    code_of_reset,
    decode_message,
    encode_message,
    pack_details,
)


@pytest.mark.parametrize(
    "text",
    ["", "plain", "a b", " ", "  ", " a ", "a\t", "100%", "line\nline", "ünï", "\x7f\x00", "日"],
)
def test_messages_survive_the_wire(text: str) -> None:
    raw = encode_message(text)
    assert all(0x20 <= c <= 0x7E for c in raw)
    assert raw == raw.strip(), "no field's value may begin or end with a space"
    assert decode_message(raw) == text


def test_bad_escapes_stay_as_they_are() -> None:
    assert decode_message(b"50%, %zz, %4") == "50%, %zz, %4"
    assert decode_message(b"\xff%ff") == "\ufffd\ufffd"


def test_a_lone_surrogate_does_not_break_the_status() -> None:
    assert encode_message("\ud800") == b"?"


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_code_is_read(code: grpc.StatusCode) -> None:
    assert code_of(b"%d" % code.value[0]) is code


@pytest.mark.parametrize("raw", [None, b"", b"17", b"-1", b"x", b"999", "²".encode()])
def test_an_unknown_code_is_unknown(raw: bytes | None) -> None:
    assert code_of(raw) is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, grpc.StatusCode.INTERNAL),
        (401, grpc.StatusCode.UNAUTHENTICATED),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        (404, grpc.StatusCode.UNIMPLEMENTED),
        (503, grpc.StatusCode.UNAVAILABLE),
        (418, grpc.StatusCode.UNKNOWN),
    ],
)
def test_http_statuses_mean_what_grpc_says(status: int, code: grpc.StatusCode) -> None:
    assert code_of_http(status) is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ErrorCodes.CANCEL, grpc.StatusCode.CANCELLED),
        (ErrorCodes.REFUSED_STREAM, grpc.StatusCode.UNAVAILABLE),
        (ErrorCodes.ENHANCE_YOUR_CALM, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (ErrorCodes.INADEQUATE_SECURITY, grpc.StatusCode.PERMISSION_DENIED),
        (ErrorCodes.PROTOCOL_ERROR, grpc.StatusCode.INTERNAL),
        (4711, grpc.StatusCode.UNKNOWN),
    ],
)
def test_resets_mean_what_grpc_says(error: int, code: grpc.StatusCode) -> None:
    assert code_of_reset(error) is code


def test_details_survive_the_wire() -> None:
    raw = pack_details(grpc.StatusCode.ABORTED, "m", [StringValue(value="v")])
    error = RpcError(grpc.StatusCode.ABORTED, "m", (("grpc-status-details-bin", raw),))
    (detail,) = error.status_details()
    value = StringValue()
    assert detail.Unpack(value)
    assert value.value == "v"


def test_damaged_details_are_none() -> None:
    error = RpcError(grpc.StatusCode.ABORTED, "m", (("grpc-status-details-bin", b"\xff"),))
    assert error.status_details() == ()
