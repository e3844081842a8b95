"""JSON as SPIRE's programs print it: one line, sorted, every default in it."""

import json
from typing import Any, cast

HTML = str.maketrans(
    {
        "<": r"\u003c",
        ">": r"\u003e",
        "&": r"\u0026",
        "\N{LINE SEPARATOR}": r"\u2028",
        "\N{PARAGRAPH SEPARATOR}": r"\u2029",
    }
)
"""What Go's encoder escapes beyond JSON's own needs; none of it occurs outside strings."""

EXPONENT_FROM = 1e21


def json_line(document: Any, *, sort: bool = True) -> str:
    """One line of JSON for a message, or for plain values that may hold messages."""
    line = json.dumps(
        document,
        ensure_ascii=False,
        sort_keys=sort,
        separators=(",", ":"),
        default=message_fields,
    )
    return line.translate(HTML)


def message_fields(message: Any) -> dict[str, Any]:
    """A message as plain values: proto names, defaults printed, 64-bit integers as text."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - only for -output json

    fields = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return cast("dict[str, Any]", _whole_numbers(fields))


def _whole_numbers(value: Any) -> Any:
    """Every number of a Struct is a float; Go prints the whole ones without a point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < EXPONENT_FROM:
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: _whole_numbers(each) for name, each in value.items()}
    return value


def block(rows: list[tuple[str, object]], width: int) -> str:
    """Lines `label : value`, labels filled up to `width` characters."""
    return "".join(f"{label:<{width}}: {value}\n" for label, value in rows)


def counted(number: int, one: str, many: str) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many}"
