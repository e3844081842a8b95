"""URLs of bundle endpoints (SPIFFE Federation sections 5.2.1.1 and 5.2.2.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Self
from urllib.parse import urljoin

from finial.spiffe.errors import FederationError

MAX_URL = 2048
HTTPS_PORT = 443
_MAX_PORT = 65535

# RFC 3986, and no more: what urllib would strip or repair is refused instead.
_FORM = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]*))?")


@dataclass(frozen=True, slots=True)
class BundleUrl:
    """The URL of a bundle endpoint; a value that exists is valid.

    Attributes:
        text: as it was given.
        host: a name, in lower case, or an IP address without brackets: what a connection goes to
            and, with https_web, what the certificate must be for.
        port: 443 unless the URL says otherwise.
        target: path and query, as a GET has them; a fragment never leaves.

    Raises:
        FederationError: not a URL, another scheme than https, user info, or no host (FED-13).
    """

    text: str
    host: str = field(init=False, compare=False, repr=False)
    port: int = field(init=False, compare=False, repr=False)
    target: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        form = _FORM.fullmatch(self.text) if len(self.text) <= MAX_URL else None
        if form is None or not _CHARACTERS.fullmatch(self.text):
            raise FederationError("bundle endpoint URL is malformed")
        if form["scheme"].lower() != "https":  # FED-13
            raise FederationError("bundle endpoint URL must use the https scheme")
        if "@" in form["authority"]:  # FED-13
            raise FederationError("bundle endpoint URL must not contain user info")
        authority = _AUTHORITY.fullmatch(form["authority"])
        if authority is None:
            raise FederationError("bundle endpoint URL must specify the host")
        object.__setattr__(self, "host", _host(authority["host"]))
        object.__setattr__(self, "port", _port(authority["port"]))
        object.__setattr__(self, "target", (form["path"] or "/") + (form["query"] or ""))

    def join(self, reference: str) -> Self:
        """The URL that a redirect from here leads to.

        Args:
            reference: a Location header: a URL, or one that is relative to this.

        Raises:
            FederationError: it is no valid bundle endpoint URL (FED-20).
        """
        if _SCHEME.match(reference):
            return type(self)(reference)
        if not _CHARACTERS.fullmatch(reference):  # urljoin would mend it
            raise FederationError("bundle endpoint URL is malformed")
        try:
            joined = urljoin(self.text, reference)
        except ValueError:
            raise FederationError("bundle endpoint URL is malformed") from None
        return type(self)(joined)

    def __str__(self) -> str:
        return self.text


def _host(text: str) -> str:
    if not text.startswith("["):
        return text.lower()
    try:
        return str(IPv6Address(text[1:-1]))
    except ValueError:
        raise FederationError("bundle endpoint URL must specify the host") from None


def _port(text: str | None) -> int:
    if not text:
        return HTTPS_PORT
    if not 0 < int(text) <= _MAX_PORT:
        raise FederationError("bundle endpoint URL has no port of 1 to 65535")
    return int(text)
