"""The types of single settings: lenient where HCL is (numbers as texts), and clear when refusing.

Validators raise `FieldError`, whose text names what is wrong; the key and its place are added by
whoever knows them.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from finial.runtime.config.errors import FieldError
from finial.runtime.config.source import printable
from finial.runtime.duration import parse_duration
from finial.runtime.logging import LEVELS, level_number
from finial.runtime.secret import Secret
from finial.spiffe.errors import SpiffeError
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.trust_domain import TrustDomain

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def _show(value: Any) -> str:
    return printable(value) if isinstance(value, str) else f"a {_NAMES.get(type(value), 'value')}"


_NAMES = {dict: "table", list: "list", bool: "boolean", int: "number", float: "number"}


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FieldError(f"must be a text, not {_show(value)}", "quote it")
    return str(value)


def _filled(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise FieldError("must not be empty", "give it a value, or leave the key out")
    return text


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value) if isinstance(value, str | int) else ""
    if text in TRUE or text in FALSE:
        return text in TRUE
    raise FieldError(f"must be true or false, not {_show(value)}")


def _number(value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(f"must be a whole number, not {_show(value)}")
    return value


def whole(value: Any, low: int, high: int, what: str) -> int:
    """The whole number that a value stands for; FieldError when it is none, or out of bounds."""
    number = _number(value)
    if not low <= number <= high:
        raise FieldError(f"must be {what} from {low} to {high}, not {number}")
    return number


def whole_number(low: int, high: int, what: str = "a number") -> BeforeValidator:
    """For `Annotated`: a whole number, also as a text, and within these bounds."""
    return BeforeValidator(lambda value: whole(value, low, high, what))


def _duration(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FieldError(f'must be a duration such as "1h30m", not {_show(value)}')
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise FieldError(str(error), 'write it as "1h30m", "90s" or "300ms"') from None


def _positive(value: Any) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        raise FieldError(f'must be longer than zero, not "{value}"')
    return seconds


def _not_negative(value: Any) -> float:
    seconds = _duration(value)
    if seconds < 0:
        raise FieldError(f'must not be negative, as "{value}" is')
    return seconds


def _path(value: Any) -> Path:
    if isinstance(value, Path):
        return value
    text = _filled(value)
    if "\0" in text:
        raise FieldError("must be a path, which holds no zero byte")
    return Path(text)


def _log_level(value: Any) -> str:
    try:
        number = level_number(_filled(value))
    except FieldError:
        raise
    except ValueError as error:
        raise FieldError(str(error)) from None
    return next(name for name, each in LEVELS.items() if each == number)


def _log_format(value: Any) -> str:
    text = _text(value).lower()
    if text not in ("text", "json"):
        raise FieldError(f'unknown logger format: "{value}"', "use text or json")
    return text


def _trust_domain(value: Any) -> TrustDomain:
    if isinstance(value, TrustDomain):
        return value
    text = _text(value)
    try:
        return TrustDomain.parse(text)
    except SpiffeError as error:
        raise FieldError(
            f'could not parse trust_domain "{text}": {error}',
            'name it as in trust_domain = "example.org"',
        ) from None


def _spiffe_id(value: Any) -> SpiffeId:
    if isinstance(value, SpiffeId):
        return value
    text = _text(value)
    try:
        return SpiffeId.parse(text)
    except SpiffeError as error:
        raise FieldError(
            f'"{text}" is no SPIFFE ID: {error}', "write it as spiffe://example.org/path"
        ) from None


def _address(value: Any) -> str:
    text = _filled(value)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise FieldError(
            f'could not parse bind_address "{text}"', "give an IP address, as 0.0.0.0 or ::1"
        ) from None


def _mode(value: Any) -> int:
    try:
        mode = int(value.removeprefix("0o"), 8) if isinstance(value, str) else _number(value)
    except ValueError:
        raise FieldError(f"must be an octal mode, not {_show(value)}", 'as "0600"') from None
    if mode & ~0o770 or mode & 0o600 != 0o600:
        raise FieldError(
            f"must open the socket to its owner and at most to its group, not {mode:#o}",
            'use "0600", "0660" or "0770"',
        )
    return mode


def _secret(value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise FieldError("must be a text that is not empty")  # the value stays unsaid
    return Secret(value)


Text = Annotated[str, BeforeValidator(_text)]
FilledText = Annotated[str, BeforeValidator(_filled)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Port = Annotated[int, whole_number(1, 65535, "a port")]
BindPort = Annotated[int, whole_number(0, 65535, "a port")]
Duration = Annotated[float, BeforeValidator(_not_negative)]
PositiveDuration = Annotated[float, BeforeValidator(_positive)]
FilePath = Annotated[Path, BeforeValidator(_path)]
LogLevel = Annotated[str, BeforeValidator(_log_level)]
LogFormat = Annotated[str, BeforeValidator(_log_format)]
TrustDomainName = Annotated[TrustDomain, BeforeValidator(_trust_domain)]
SpiffeIdText = Annotated[SpiffeId, BeforeValidator(_spiffe_id)]
BindAddress = Annotated[str, BeforeValidator(_address)]
SocketMode = Annotated[int, BeforeValidator(_mode)]
SecretText = Annotated[Secret, BeforeValidator(_secret)]


def key_type(key: str, *known: str) -> BeforeValidator:
    """For `Annotated`: one of these of SPIRE's key types; `key` is what SPIRE calls the setting."""

    def check(value: Any) -> str:
        text = _text(value)
        if text not in known:
            names = ", ".join(known)
            raise FieldError(
                f'error parsing {key}: key type "{text}" is unknown; must be one of [{names}]'
            )
        return text

    return BeforeValidator(check)


def features(*known: str) -> BeforeValidator:
    """For `Annotated`: a list of SPIRE's names for what is not on by itself."""

    def check(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise FieldError("must be a list", 'write feature_flags = ["…"]')
        flags = tuple(_text(each) for each in value)
        unknown = sorted(set(flags) - set(known))
        if unknown:
            raise FieldError(
                f"unknown feature flag(s): [{' '.join(unknown)}]", f"known are: {', '.join(known)}"
            )
        return flags

    return BeforeValidator(check)


def one_of(*known: str) -> BeforeValidator:
    """For `Annotated`: one of these words."""

    def check(value: Any) -> str:
        text = _text(value)
        if text not in known:
            raise FieldError(f"must be {' or '.join(known)}, not {_show(text)}")
        return text

    return BeforeValidator(check)
