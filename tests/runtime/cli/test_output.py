import pytest

from finial.api.spire import types_pb2 as types
from finial.runtime.cli.failure import code_name, rpc_failure
from finial.runtime.cli.output import block, counted, json_line
from finial.runtime.cli.times import local_time, rfc3339


def test_json_is_one_sorted_line_with_proto_names_and_every_default() -> None:
    assert json_line(types.Agent(id=types.SPIFFEID(trust_domain="a.org"))) == (
        '{"agent_version":"","attestation_type":"","banned":false,"can_reattest":false,'
        '"id":{"path":"","trust_domain":"a.org"},"selectors":[],'
        '"x509svid_expires_at":"0","x509svid_serial_number":""}'
    )


def test_absent_messages_are_left_out_and_present_ones_are_not() -> None:
    entry = types.Entry()
    assert "additional_attributes" not in json_line(entry)
    entry.additional_attributes.SetInParent()
    assert '"additional_attributes":{"disable_x509_svid_prefetch":false' in json_line(entry)


def test_64_bit_integers_are_texts_and_32_bit_ones_are_numbers() -> None:
    line = json_line(types.Entry(expires_at=2**62, x509_svid_ttl=60))
    assert f'"expires_at":"{2**62}"' in line
    assert '"x509_svid_ttl":60' in line


def test_bytes_are_base64_and_enums_have_names() -> None:
    assert json_line(types.X509Certificate(asn1=b"\xff\xfe")) == '{"asn1":"//4=","tainted":false}'
    assert json_line(types.Logger(current_level=types.WARN)) == (
        '{"current_level":"WARN","launch_level":"UNSPECIFIED"}'
    )


def test_text_is_escaped_as_gos_encoder_does() -> None:
    assert json_line({"a": '<b>&é\u2028"\\'}) == r'{"a":"\u003cb\u003e\u0026é\u2028\"\\"}'


def test_messages_may_stand_inside_plain_values() -> None:
    status = types.Status(code=5, message="no")
    assert json_line({"results": [{"status": status}]}) == (
        '{"results":[{"status":{"code":5,"message":"no"}}]}'
    )


def test_labels_are_filled_to_their_width() -> None:
    assert block([("SPIFFE ID", "a"), ("x", 1)], 12) == "SPIFFE ID   : a\nx           : 1\n"


@pytest.mark.parametrize(("number", "text"), [(0, "0 eggs"), (1, "1 egg"), (2, "2 eggs")])
def test_counts_have_their_plural(number: int, text: str) -> None:
    assert counted(number, "egg", "eggs") == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("NOT_FOUND", "NotFound"),
        ("CANCELLED", "Canceled"),
        ("OK", "OK"),
        ("DEADLINE_EXCEEDED", "DeadlineExceeded"),
        ("UNKNOWN", "Unknown"),
    ],
)
def test_codes_are_named_as_spire_names_them(name: str, shown: str) -> None:
    assert code_name(name) == shown


def test_a_refused_call_reads_as_spires() -> None:
    assert rpc_failure("NOT_FOUND", "agent not found") == (
        "rpc error: code = NotFound desc = agent not found"
    )


@pytest.mark.usefixtures("utc")
def test_times_are_printed_as_go_prints_them() -> None:
    assert local_time(1_795_367_736) == "2026-11-22 17:15:36 +0000 UTC"
    assert rfc3339(1_795_367_736) == "2026-11-22T17:15:36Z"


@pytest.mark.usefixtures("tokyo")
def test_times_are_in_the_local_zone() -> None:
    assert local_time(1_795_367_736) == "2026-11-23 02:15:36 +0900 JST"
    assert rfc3339(1_795_367_736) == "2026-11-23T02:15:36+09:00"
