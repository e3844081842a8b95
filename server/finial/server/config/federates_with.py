"""`federates_with "<trust domain>" { … }`: where the bundle of another trust domain is fetched."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from finial.runtime.config.errors import FieldError
from finial.runtime.config.fields import SpiffeIdText
from finial.runtime.config.schema import Section
from finial.spiffe.errors import FederationError
from finial.spiffe.federation import BundleUrl, Profile, Relationship
from finial.spiffe.trust_domain import TrustDomain


def _url(value: Any) -> BundleUrl:
    if isinstance(value, BundleUrl):
        return value
    try:
        return BundleUrl(value if isinstance(value, str) else "")
    except FederationError as error:
        raise FieldError(str(error), "write it as https://host:port/path") from None


class WebProfile(Section):
    """The endpoint has a certificate of the Web's PKI."""


class SpiffeProfile(Section):
    """The endpoint has an X509-SVID with this ID."""

    endpoint_spiffe_id: SpiffeIdText

    @model_validator(mode="after")
    def _of_an_endpoint(self) -> Self:
        if not self.endpoint_spiffe_id.path:
            raise FieldError(
                f"\"{self.endpoint_spiffe_id}\" is a trust domain's own ID, and no endpoint's",
                f"write it as {self.endpoint_spiffe_id}/spire/server",
            )
        return self


class BundleEndpointProfile(Section):
    """How the endpoint is authenticated: one of the two."""

    https_web: WebProfile | None = None
    https_spiffe: SpiffeProfile | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.https_web is None) == (self.https_spiffe is None):
            raise FieldError(
                "exactly one bundle endpoint profile is expected",
                'write bundle_endpoint_profile "https_web" {} or bundle_endpoint_profile '
                '"https_spiffe" { endpoint_spiffe_id = "…" }',
            )
        return self


class FederatesWith(Section):
    """The settings of one relationship; the name of the trust domain is the block's."""

    bundle_endpoint_url: Annotated[BundleUrl, BeforeValidator(_url)]
    bundle_endpoint_profile: BundleEndpointProfile

    def relationship(self, trust_domain: TrustDomain) -> Relationship:
        """The relationship with the trust domain that these are the settings of."""
        spiffe = self.bundle_endpoint_profile.https_spiffe
        profile = Profile.HTTPS_WEB if spiffe is None else Profile.HTTPS_SPIFFE
        endpoint_id = None if spiffe is None else spiffe.endpoint_spiffe_id
        return Relationship(trust_domain, self.bundle_endpoint_url, profile, endpoint_id)
