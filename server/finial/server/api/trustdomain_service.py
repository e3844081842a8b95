"""The TrustDomain service: where the bundles of other trust domains are fetched."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from typing import Any, Final, Protocol

import grpc
from google.protobuf import empty_pb2

from finial.api.spire import types_pb2
from finial.api.spire.server import trustdomain_pb2
from finial.api.spire.server.trustdomain_pb2_grpc import TrustDomainServicer
from finial.runtime.observe import Observer
from finial.runtime.rpc import StatusError
from finial.server.api.convert import OK, ConversionError, status
from finial.server.api.failure import invalid, listing_failure, not_found
from finial.server.api.masks import hidden_fields, named_fields
from finial.server.api.relationship_codec import decode_relationship, encode_relationship
from finial.server.api.settled import Settled
from finial.server.datastore.relationships import Federated, RelationshipStore
from finial.server.federation.errors import RefreshError
from finial.server.registry.errors import NotFound, RegistryError, RelationshipExists
from finial.spiffe.errors import SpiffeIdError
from finial.spiffe.trust_domain import TrustDomain

_INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
_INTERNAL: Final = grpc.StatusCode.INTERNAL
_FIELDS: Final = {"bundle_endpoint_url": "url", "bundle_endpoint_profile": "profile"}

# SPIRE's database words both, and its callers have no other sign of them.
_EXISTS: Final = (
    "failed to create federation relationship: "
    "datastore-sql: UNIQUE constraint failed: federated_trust_domains.trust_domain"
)
_UNKNOWN: Final = (
    "failed to update federation relationship: "
    "unable to fetch federation relationship: record not found"
)


class Refreshes(Protocol):
    """Fetches bundles when it is told to."""

    async def refresh(self, trust_domain: TrustDomain) -> bool:
        """Fetch now; False without a relationship.

        Raises:
            RefreshError: the bundle could not be fetched.
        """
        ...


class TrustDomainService(TrustDomainServicer):
    """Relationships are read from the store, each with the bundle of its moment."""

    def __init__(
        self,
        *,
        own: TrustDomain,
        store: RelationshipStore,
        refresher: Refreshes,
        settled: Settled,
        observer: Observer,
    ) -> None:
        self._own = own
        self._store = store
        self._refresher = refresher
        self._settled = settled
        self._observer = observer

    async def ListFederationRelationships(
        self, request: trustdomain_pb2.ListFederationRelationshipsRequest, context: Any
    ) -> trustdomain_pb2.ListFederationRelationshipsResponse:
        # As SPIRE's, the token counts only with a page size.
        token = request.page_token if request.page_size > 0 else ""
        try:
            page = await self._store.page(request.page_size, token)
        except RegistryError as error:
            raise listing_failure("federation relationships", error) from None
        hidden = hidden_fields(request, "output_mask")
        return trustdomain_pb2.ListFederationRelationshipsResponse(
            federation_relationships=[encode_relationship(each, hidden) for each in page.items],
            next_page_token=page.next_page_token,
        )

    async def GetFederationRelationship(
        self, request: trustdomain_pb2.GetFederationRelationshipRequest, context: Any
    ) -> types_pb2.FederationRelationship:
        found = await self._store.get(_named(request.trust_domain))
        if found is None:
            raise not_found("federation relationship does not exist")
        return encode_relationship(found, hidden_fields(request, "output_mask"))

    async def BatchCreateFederationRelationship(
        self, request: trustdomain_pb2.BatchCreateFederationRelationshipRequest, context: Any
    ) -> trustdomain_pb2.BatchCreateFederationRelationshipResponse:
        hidden = hidden_fields(request, "output_mask")
        response = trustdomain_pb2.BatchCreateFederationRelationshipResponse()
        for message in request.federation_relationships:
            outcome = await self._create(message)
            if isinstance(outcome, Federated):
                self._record("created", outcome.relationship.trust_domain)
                shown = encode_relationship(outcome, hidden)
                response.results.add(status=OK, federation_relationship=shown)
            else:
                response.results.add(status=outcome)
        await self._settled()
        return response

    async def BatchUpdateFederationRelationship(
        self, request: trustdomain_pb2.BatchUpdateFederationRelationshipRequest, context: Any
    ) -> trustdomain_pb2.BatchUpdateFederationRelationshipResponse:
        named = named_fields(request, "input_mask")
        hidden = hidden_fields(request, "output_mask")
        response = trustdomain_pb2.BatchUpdateFederationRelationshipResponse()
        for message in request.federation_relationships:
            outcome = await self._update(message, named)
            if isinstance(outcome, Federated):
                self._record("updated", outcome.relationship.trust_domain)
                shown = encode_relationship(outcome, hidden)
                response.results.add(status=OK, federation_relationship=shown)
            else:
                response.results.add(status=outcome)
        await self._settled()
        return response

    async def BatchDeleteFederationRelationship(
        self, request: trustdomain_pb2.BatchDeleteFederationRelationshipRequest, context: Any
    ) -> trustdomain_pb2.BatchDeleteFederationRelationshipResponse:
        response = trustdomain_pb2.BatchDeleteFederationRelationshipResponse()
        for name in request.trust_domains:
            try:
                domain = TrustDomain.parse(name)
            except SpiffeIdError as error:
                text = f"failed to parse trust domain: {error}" if name else "missing trust domain"
                response.results.add(status=status(_INVALID, text), trust_domain=name)
                continue
            response.results.add(status=await self._delete(domain), trust_domain=domain.name)
        await self._settled()
        return response

    async def RefreshBundle(
        self, request: trustdomain_pb2.RefreshBundleRequest, context: Any
    ) -> empty_pb2.Empty:
        domain = _named(request.trust_domain)
        try:
            known = await self._refresher.refresh(domain)
        except RefreshError as error:
            raise StatusError(_INTERNAL, f"failed to refresh bundle: {error}") from None
        if not known:
            raise not_found(f'no relationship with trust domain "{domain}"')
        return empty_pb2.Empty()

    async def _create(
        self, message: types_pb2.FederationRelationship
    ) -> Federated | types_pb2.Status:
        wanted = _decoded(message)
        if not isinstance(wanted, Federated):
            return wanted
        if wanted.relationship.trust_domain == self._own:
            return status(
                _INVALID, "unable to create federation relationship for server trust domain"
            )
        try:
            return await self._store.create(wanted)
        except RelationshipExists:
            return status(_INTERNAL, _EXISTS)

    async def _update(
        self, message: types_pb2.FederationRelationship, named: frozenset[str]
    ) -> Federated | types_pb2.Status:
        wanted = _decoded(message)
        if not isinstance(wanted, Federated):
            return wanted
        if "trust_domain_bundle" not in named:
            wanted = Federated(wanted.relationship)
        fields = frozenset(field for name, field in _FIELDS.items() if name in named)
        try:
            return await self._store.update(wanted, fields)
        except NotFound:
            return status(_INTERNAL, _UNKNOWN)

    async def _delete(self, domain: TrustDomain) -> types_pb2.Status:
        try:
            await self._store.delete(domain)
        except NotFound:
            return status(grpc.StatusCode.NOT_FOUND, "federation relationship not found")
        self._record("deleted", domain)
        return OK

    def _record(self, what: str, domain: TrustDomain) -> None:
        self._observer.act(f"federation relationship {what}", trust_domain=domain.name)


def _decoded(message: types_pb2.FederationRelationship) -> Federated | types_pb2.Status:
    try:
        return decode_relationship(message)
    except ConversionError as error:
        return status(_INVALID, f"failed to convert federation relationship: {error}")


def _named(name: str) -> TrustDomain:
    try:
        return TrustDomain.parse(name)
    except SpiffeIdError as error:
        raise invalid(f"failed to parse trust domain: {error}") from None
