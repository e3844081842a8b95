"""The `oidc_discovery` section: what SPIRE's oidc-discovery-provider has in a file of its own."""

import re
from typing import Annotated, ClassVar, NamedTuple, Self

from pydantic import BeforeValidator, field_validator, model_validator

from finial.runtime.config.errors import FieldError
from finial.runtime.config.fields import FilePath, FilledText, Flag, Port, PositiveDuration, Text
from finial.runtime.config.schema import Section, Unserved

_DOMAIN = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|\[[0-9a-f:.]+\]")
_URL = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?", re.IGNORECASE)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]*):(?P<port>[0-9]{1,5})")
_OWN_KEYS = "the server publishes its own keys"
_OWN_LOG = "requests are in the server's log"


class Listen(NamedTuple):
    """Where to listen; an empty host is every address."""

    host: str
    port: int


def _listen(value: object) -> Listen:
    if isinstance(value, Listen):
        return value
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match["port"]) > 65535:
        raise FieldError("must be an address and a port", 'write it as ":443" or "127.0.0.1:8080"')
    return Listen(match["host"].strip("[]"), int(match["port"]))


ListenText = Annotated[Listen, BeforeValidator(_listen)]


class OidcCertFile(Section):
    """A certificate chain and its key in PEM files, read again when they have changed."""

    cert_file_path: FilePath
    key_file_path: FilePath
    file_sync_interval: PositiveDuration = 60.0
    addr: ListenText = Listen("", 443)


class OidcHealthChecks(Section):
    """Probes over HTTP, on every address."""

    bind_port: Port = 8008
    live_path: FilledText = "/live"
    ready_path: FilledText = "/ready"


class OidcDiscovery(Section):
    """The section. Names are SPIRE's."""

    unserved: ClassVar = {
        "acme": Unserved(
            "serve certificate files: serving_cert_file { … }, renewed by an ACME client beside "
            "the server"
        ),
    }
    no_effect: ClassVar = {
        **dict.fromkeys(("server_api", "workload_api", "file"), _OWN_KEYS),
        **dict.fromkeys(("log_format", "log_level", "log_path", "log_requests"), _OWN_LOG),
        "experimental": "it is about named pipes",
    }

    domains: tuple[Text, ...] = ()
    allow_insecure_scheme: Flag = False
    insecure_addr: ListenText | None = None
    listen_socket_path: FilePath | None = None
    serving_cert_file: OidcCertFile | None = None
    health_checks: OidcHealthChecks | None = None
    jwt_issuer: Text = ""
    jwks_uri: Text = ""
    set_key_use: Flag = False
    server_path_prefix: Text = ""

    @field_validator("domains")
    @classmethod
    def _are_names(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        if not domains:
            raise FieldError("at least one domain must be configured", 'as ["oidc.example.org"]')
        for domain in domains:
            if not _DOMAIN.fullmatch(domain):
                raise FieldError(
                    f'"{domain}" is not a domain name', "write it in lower case, and in punycode"
                )
        return tuple(dict.fromkeys(domains))

    @field_validator("jwt_issuer", "jwks_uri")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if url and not _URL.fullmatch(url):
            raise FieldError(f'"{url}" is no http or https URL with a host', "give it in full")
        return url

    @field_validator("server_path_prefix")
    @classmethod
    def _is_path(cls, prefix: str) -> str:
        if not _PREFIX.fullmatch(prefix):
            raise FieldError("must be a path", 'write it as "/tenant"')
        return prefix.rstrip("/")

    @model_validator(mode="after")
    def _is_served(self) -> Self:
        if not self.domains:
            raise FieldError("at least one domain must be configured", "add domains = [ … ]")
        if not (self.serving_cert_file or self.insecure_addr or self.listen_socket_path):
            raise FieldError(
                "is served nowhere",
                "add serving_cert_file { … }, listen_socket_path or insecure_addr to it",
            )
        return self

    def issuers(self) -> tuple[str, ...]:
        """The issuers that documents may name."""
        if self.jwt_issuer:
            return (self.jwt_issuer,)
        return tuple(f"https://{domain}{self.server_path_prefix}" for domain in self.domains)
