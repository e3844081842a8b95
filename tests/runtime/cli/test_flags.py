import pytest

from finial.runtime.cli.flags import (
    FlagError,
    HelpWanted,
    boolean,
    chosen,
    duration,
    integer,
    listed,
    parse,
    text,
    texts,
    usage,
)

FLAGS = (
    text("path", "where", "/default"),
    integer("ttl", "seconds", 600),
    boolean("admin", "whether"),
    texts("selector", "which"),
    listed("audience", "for whom"),
    duration("timeout", "how long", 5.0),
    chosen("output", "format", ("pretty", "json"), "pretty"),
)


@pytest.mark.parametrize(
    "arguments",
    [["-path", "x"], ["--path", "x"], ["-path=x"], ["--path=x"], ["-path", "y", "-path=x"]],
)
def test_a_value_follows_its_flag_or_an_equals_sign_after_one_dash_or_two(
    arguments: list[str],
) -> None:
    assert parse(FLAGS, arguments).text("path") == "x"


def test_flags_that_are_not_given_have_their_defaults() -> None:
    values = parse(FLAGS, [])
    assert values.text("path") == "/default"
    assert values.integer("ttl") == 600
    assert values.boolean("admin") is False
    assert values.texts("selector") == []
    assert values.seconds("timeout") == 5.0
    assert not values.given("path", "ttl")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("-admin", True), ("-admin=true", True), ("-admin=T", True), ("-admin=0", False)],
)
def test_a_boolean_takes_its_value_only_after_an_equals_sign(argument: str, value: bool) -> None:
    values = parse(FLAGS, [argument, "false"])
    assert values.boolean("admin") is value
    assert values.given("admin")


def test_repeated_flags_keep_every_value_in_order() -> None:
    values = parse(FLAGS, ["-selector", "b:1", "-selector=a:2=3"])
    assert values.texts("selector") == ["b:1", "a:2=3"]


def test_a_comma_list_may_be_repeated() -> None:
    assert parse(FLAGS, ["-audience", "a,b", "-audience=c"]).texts("audience") == ["a", "b", "c"]


@pytest.mark.parametrize("end", ["--", "-", "word"])
def test_flags_end_at_the_first_argument_that_is_none(end: str) -> None:
    values = parse(FLAGS, ["-ttl", "1", end, "-ttl", "2", "-unknown"])
    assert values.integer("ttl") == 1


def test_a_value_may_look_like_a_flag() -> None:
    assert parse(FLAGS, ["-path", "-admin"]).text("path") == "-admin"


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("+7", 7),
        ("0x1F", 31),
        ("0b11", 3),
        ("0o17", 15),
        ("017", 15),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_integers_are_written_as_in_go(literal: str, value: int) -> None:
    assert parse(FLAGS, [f"-ttl={literal}"]).integer("ttl") == value


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-nope"], "flag provided but not defined: -nope"),
        (["-ttl"], "flag needs an argument: -ttl"),
        (["-ttl", "abc"], 'invalid value "abc" for flag -ttl: parse error'),
        (["-ttl", "1_0"], 'invalid value "1_0" for flag -ttl: parse error'),
        (["-ttl", "1.5"], 'invalid value "1.5" for flag -ttl: parse error'),
        (["-ttl", "--1"], 'invalid value "--1" for flag -ttl: parse error'),
        (["-ttl", ""], 'invalid value "" for flag -ttl: parse error'),
        (["-ttl", "08"], 'invalid value "08" for flag -ttl: parse error'),
        (
            ["-ttl", "9223372036854775808"],
            'invalid value "9223372036854775808" for flag -ttl: value out of range',
        ),
        (["-admin=maybe"], 'invalid boolean value "maybe" for -admin: parse error'),
        (["---path"], "bad flag syntax: ---path"),
        (["-=x"], "bad flag syntax: -=x"),
        (["-timeout", "1"], 'invalid value "1" for flag -timeout: duration "1" lacks a unit'),
        (
            ["-output", "yaml"],
            'invalid value "yaml" for flag -output: unknown option "yaml", use one of pretty, json',
        ),
    ],
)
def test_what_cannot_be_understood_is_said_in_the_words_of_gos_parser(
    arguments: list[str], complaint: str
) -> None:
    with pytest.raises(FlagError) as caught:
        parse(FLAGS, arguments)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("wish", ["-h", "--h", "-help", "--help"])
def test_help_is_heard_among_the_flags(wish: str) -> None:
    with pytest.raises(HelpWanted):
        parse(FLAGS, ["-admin", wish])


@pytest.mark.parametrize("spelling", ["json", "JSON", "Json"])
def test_a_choice_is_taken_in_any_case(spelling: str) -> None:
    assert parse(FLAGS, ["-output", spelling]).text("output") == "json"


def test_durations_are_read_as_in_go() -> None:
    assert parse(FLAGS, ["-timeout", "1h30m"]).seconds("timeout") == 5400.0


def test_the_usage_lists_flags_by_name_with_kind_and_default() -> None:
    lines = usage("x y", FLAGS).split("\n")
    assert lines[:3] == ["Usage of x y:", "  -admin", "    \twhether"]
    assert "  -path string" in lines
    assert '    \twhere (default "/default")' in lines
    assert "    \tseconds (default 600)" in lines
    assert "    \thow long (default 5s)" in lines
    names = [line.split()[0] for line in lines if line.startswith("  -")]
    assert names == sorted(names)
