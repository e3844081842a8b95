"""The `federation` section: where our bundle is served, and where others' are fetched from."""

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from finial.runtime.config.errors import FieldError
from finial.runtime.config.fields import (
    BindAddress,
    FilePath,
    Flag,
    Port,
    PositiveDuration,
    Text,
)
from finial.runtime.config.schema import Section, Unserved
from finial.server.config.federates_with import FederatesWith
from finial.server.federation.addresses import AddressPolicy
from finial.spiffe.errors import SpiffeIdError
from finial.spiffe.federation import Relationship
from finial.spiffe.trust_domain import TrustDomain

MINUTE = 60.0
HOUR = 3600.0

_ACME = Unserved(
    'serve certificate files: profile "https_web" { serving_cert_file { … } }, renewed by an ACME '
    "client beside the server"
)


class ServingCertFile(Section):
    """A certificate chain and its key in PEM files, read again when they have changed."""

    cert_file_path: FilePath
    key_file_path: FilePath
    file_sync_interval: PositiveDuration = HOUR


class HttpsWeb(Section):
    """Served with a certificate of the Web's PKI."""

    unserved: ClassVar = {"acme": _ACME}

    serving_cert_file: ServingCertFile


class HttpsSpiffe(Section):
    """Served with the server's own X509-SVID."""


class EndpointProfile(Section):
    """How the endpoint authenticates itself: one of the two."""

    https_web: HttpsWeb | None = None
    https_spiffe: HttpsSpiffe | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.https_web is None) == (self.https_spiffe is None):
            raise FieldError(
                "exactly one bundle endpoint profile is expected",
                'write profile "https_spiffe" {} or profile "https_web" { … }',
            )
        return self


class BundleEndpoint(Section):
    """Where this trust domain's bundle is served."""

    unserved: ClassVar = {"acme": _ACME}

    address: BindAddress = "0.0.0.0"  # noqa: S104 - whoever federates comes from elsewhere
    port: Port = 443
    refresh_hint: PositiveDuration = 5 * MINUTE
    profile: EndpointProfile | None = None

    @property
    def web_files(self) -> ServingCertFile | None:
        """The certificate files of https_web; None with https_spiffe, the default as in SPIRE."""
        web = self.profile.https_web if self.profile else None
        return web.serving_cert_file if web else None


class Federation(Section):
    """The section. `allowed_addresses`, `denied_addresses`, `follow_redirects` are our own."""

    bundle_endpoint: BundleEndpoint | None = None
    federates_with: Mapping[str, FederatesWith] = Field(default_factory=dict)
    allowed_addresses: tuple[Text, ...] = ()
    denied_addresses: tuple[Text, ...] = ()
    follow_redirects: Flag = False

    @field_validator("allowed_addresses", "denied_addresses", mode="after")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        try:
            AddressPolicy.of(networks, ())
        except ValueError as error:
            raise FieldError(str(error), 'write it as ["10.0.0.0/8", "private"]') from None
        return networks

    @field_validator("federates_with")
    @classmethod
    def _of_trust_domains(cls, found: Mapping[str, FederatesWith]) -> Mapping[str, FederatesWith]:
        seen = set()
        for name in found:
            try:
                domain = TrustDomain.parse(name)
            except SpiffeIdError as error:
                raise FieldError(
                    f'could not parse trust domain "{name}": {error}',
                    'name it as in federates_with "example.org" { … }',
                ) from None
            if domain in seen:
                raise FieldError(f"{domain} is configured twice", "keep one")
            seen.add(domain)
        return found

    @property
    def relationships(self) -> tuple[Relationship, ...]:
        """The relationships that are configured here."""
        return tuple(
            settings.relationship(TrustDomain.parse(name))
            for name, settings in self.federates_with.items()
        )
