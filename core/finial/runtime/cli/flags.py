"""Flags as tables, parsed by the rules of Go's `flag` package.

`-x v`, `-x=v` and `--x v` are the same; a boolean takes a value only after `=`; parsing ends at
the first argument that is no flag, or at `--`. Neither click nor argparse reads that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from finial.runtime.duration import parse_duration

INT64 = range(-(1 << 63), 1 << 63)
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
HELP = frozenset({"h", "help"})


class FlagError(Exception):
    """An argument cannot be understood; the usage follows the text."""


class HelpWanted(Exception):  # noqa: N818 - it is no error
    """`-h` or `-help` stands among the flags."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: its name without dash, what it is for, its value when it is not given.

    `kind` is the word that the usage shows behind the name. `read` turns the argument into a
    value, or raises ValueError with the reason.
    """

    name: str
    purpose: str
    kind: str
    read: Callable[[str], Any]
    default: Any
    repeated: bool = False

    @property
    def is_boolean(self) -> bool:
        """Whether it stands without a value."""
        return self.read is read_boolean


def text(name: str, purpose: str, default: str = "") -> Flag:
    """A flag with one text."""
    return Flag(name, purpose, "string", str, default)


def texts(name: str, purpose: str) -> Flag:
    """A flag that may be given again and again; all values are kept, in order."""
    return Flag(name, purpose, "value", lambda value: [value], (), repeated=True)


def listed(name: str, purpose: str) -> Flag:
    """As `texts`, where each value may be several, divided by commas."""
    return Flag(name, purpose, "value", read_listed, (), repeated=True)


def integer(name: str, purpose: str, default: int = 0) -> Flag:
    """A flag with a 64-bit integer, in Go's spelling."""
    return Flag(name, purpose, "int", read_integer, default)


def boolean(name: str, purpose: str) -> Flag:
    """A flag that is on or off, and off when not given."""
    return Flag(name, purpose, "", read_boolean, default=False)


def duration(name: str, purpose: str, default: float = 0.0) -> Flag:
    """A flag with a duration such as `1h30m`; its value is in seconds."""
    return Flag(name, purpose, "duration", read_duration, default)


def chosen(name: str, purpose: str, options: Sequence[str], default: str) -> Flag:
    """A flag that takes one of a few words, in any case."""

    def read(value: str) -> str:
        if value.lower() not in options:
            raise ValueError(f'unknown option "{value}", use one of {", ".join(options)}')
        return value.lower()

    return Flag(name, purpose, "value", read, default)


def read_boolean(value: str) -> bool:
    """Go's spellings of true and false."""
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ValueError("parse error")


def read_integer(value: str) -> int:
    """Go's integer literals: decimal, 0x, 0o, 0b, and octal after a plain 0."""
    try:
        number = _literal(value)
    except ValueError:
        raise ValueError("parse error") from None
    if number not in INT64:
        raise ValueError("value out of range")
    return number


def _literal(value: str) -> int:
    digits = value.lstrip("+-")
    if value != value.strip() or len(value) - len(digits) > 1 or not value.isascii():
        raise ValueError(value)
    if digits[:1] == "0" and digits[1:2].isdigit():
        return int(value, 8)
    if "_" in value and digits[:2].lower() not in {"0x", "0o", "0b"}:
        raise ValueError(value)
    return int(value, 0)


def read_duration(value: str) -> float:
    """Seconds of a Go duration."""
    return parse_duration(value)


def read_listed(value: str) -> list[str]:
    """The parts of a comma-separated value."""
    return value.split(",")


class Values:
    """What the flags of one invocation came to; asked by name and type."""

    def __init__(self, values: Mapping[str, object], given: frozenset[str]) -> None:
        self._values = values
        self._given = given

    def given(self, *names: str) -> bool:
        """Whether any of these flags stands on the command line."""
        return not self._given.isdisjoint(names)

    def text(self, name: str) -> str:
        return cast("str", self._values[name])

    def texts(self, name: str) -> list[str]:
        return list(cast("Sequence[str]", self._values[name]))

    def integer(self, name: str) -> int:
        return cast("int", self._values[name])

    def boolean(self, name: str) -> bool:
        return cast("bool", self._values[name])

    def shown(self, name: str) -> str:
        """The value of a single flag as text: `true`, `8081`."""
        value = self._values[name]
        return str(value).lower() if isinstance(value, bool) else str(value)

    def seconds(self, name: str) -> float:
        return cast("float", self._values[name])


def parse(flags: Sequence[Flag], arguments: Sequence[str]) -> Values:
    """Read the arguments; what follows the flags is ignored, as SPIRE's programs do.

    Raises FlagError with the text that Go's parser would give, HelpWanted for `-h`.
    """
    by_name = {flag.name: flag for flag in flags}
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest and (split := _split(rest[0])):
        rest.pop(0)
        name, value = split
        flag = by_name.get(name)
        if flag is None:
            if name in HELP:
                raise HelpWanted
            raise FlagError(f"flag provided but not defined: -{name}")
        if value is None:
            value = _next(flag, rest)
        read = _read(flag, value)
        values[name] = [*values.get(name, ()), *read] if flag.repeated else read
    defaults = {flag.name: flag.default for flag in flags}
    return Values(defaults | values, frozenset(values))


def _split(argument: str) -> tuple[str, str | None] | None:
    """Name and value of a flag; None when the flags have ended."""
    if len(argument) < 2 or argument[0] != "-" or argument == "--":
        return None
    body = argument[2:] if argument.startswith("--") else argument[1:]
    if body[0] in "-=":
        raise FlagError(f"bad flag syntax: {argument}")
    name, equals, value = body.partition("=")
    return name, value if equals else None


def _next(flag: Flag, rest: list[str]) -> str:
    if flag.is_boolean:
        return "true"
    if not rest:
        raise FlagError(f"flag needs an argument: -{flag.name}")
    return rest.pop(0)


def _read(flag: Flag, value: str) -> Any:
    try:
        return flag.read(value)
    except ValueError as error:
        if flag.is_boolean:
            raise FlagError(f'invalid boolean value "{value}" for -{flag.name}: {error}') from None
        raise FlagError(f'invalid value "{value}" for flag -{flag.name}: {error}') from None


def usage(name: str, flags: Sequence[Flag]) -> str:
    """The help of a command, flags in alphabetical order."""
    lines = [f"Usage of {name}:"]
    for flag in sorted(flags, key=lambda flag: flag.name):
        lines.append(f"  -{flag.name} {flag.kind}".rstrip())
        lines.append(f"    \t{flag.purpose}{_shown_default(flag)}")
    return "\n".join(lines)


def _shown_default(flag: Flag) -> str:
    if not flag.default:
        return ""
    if flag.kind == "string":
        return f' (default "{flag.default}")'
    return (
        f" (default {flag.default:g}s)"
        if flag.kind == "duration"
        else (f" (default {flag.default})")
    )
