"""The Bundle service's batches on other trust domains' bundles: one outcome an item, in order."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import grpc

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2
from finial.runtime.observe import Observer
from finial.server.api.bundle_codec import decode_bundle, encode_bundle
from finial.server.api.convert import OK, ConversionError, status, trust_domain
from finial.server.api.failure import invalid, listing_failure
from finial.server.api.masks import hidden_fields, named_fields
from finial.server.api.settled import Settled
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.federated_bundles import FederatedBundles, Federating
from finial.server.registry.errors import BundleExists, BundleInUse, NotFound, RegistryError
from finial.spiffe.bundle import Bundle
from finial.spiffe.trust_domain import TrustDomain

_INVALID: Final = grpc.StatusCode.INVALID_ARGUMENT
_FIELDS: Final = {
    "x509_authorities": "x509_authorities",
    "jwt_authorities": "jwt_authorities",
    "refresh_hint": "refresh_hint",
    "sequence_number": "sequence",
    "wit_authorities": "wit_authorities",
}
"""Names on the wire, and of Bundle."""

_Modes = bundle_pb2.BatchDeleteFederatedBundleRequest
_MODES: Final = {
    _Modes.RESTRICT: Federating.REFUSE,
    _Modes.DELETE: Federating.DELETE,
    _Modes.DISSOCIATE: Federating.DISSOCIATE,
}

Outcome = Bundle | types_pb2.Status


class FederatedBatches:
    """Each item succeeds or fails by itself, in a transaction of its own."""

    def __init__(
        self,
        *,
        own: TrustDomain,
        store: BundleStore,
        federated: FederatedBundles,
        settled: Settled,
        observer: Observer,
    ) -> None:
        self._own = own
        self._store = store
        self._federated = federated
        self._settled = settled
        self._observer = observer

    async def page(
        self, request: bundle_pb2.ListFederatedBundlesRequest
    ) -> bundle_pb2.ListFederatedBundlesResponse:
        """One page; as SPIRE's, it is one short where our own bundle is, which has no place here.

        Raises:
            StatusError: the token is none.
        """
        size = request.page_size
        try:
            page = await self._federated.page(size, request.page_token if size > 0 else "")
        except RegistryError as error:
            raise listing_failure("bundles", error) from None
        hidden = hidden_fields(request, "output_mask")
        others = (bundle for bundle in page.items if bundle.trust_domain != self._own)
        return bundle_pb2.ListFederatedBundlesResponse(
            bundles=[encode_bundle(bundle, hidden) for bundle in others],
            next_page_token=page.next_page_token,
        )

    async def create(
        self, request: bundle_pb2.BatchCreateFederatedBundleRequest
    ) -> bundle_pb2.BatchCreateFederatedBundleResponse:
        async def one(bundle: Bundle) -> Outcome:
            try:
                return await self._federated.create(bundle)
            except BundleExists as error:
                return status(grpc.StatusCode.ALREADY_EXISTS, str(error))

        hidden = hidden_fields(request, "output_mask")
        response = bundle_pb2.BatchCreateFederatedBundleResponse()
        for outcome in await self._each(request.bundle, "creating", "bundle created", one):
            _fill(response.results.add(), outcome, hidden)
        return response

    async def update(
        self, request: bundle_pb2.BatchUpdateFederatedBundleRequest
    ) -> bundle_pb2.BatchUpdateFederatedBundleResponse:
        fields = frozenset(_FIELDS[name] for name in named_fields(request, "input_mask"))

        async def one(bundle: Bundle) -> Outcome:
            try:
                return await self._federated.update(bundle, fields)
            except NotFound as error:
                return status(grpc.StatusCode.NOT_FOUND, str(error))

        hidden = hidden_fields(request, "output_mask")
        response = bundle_pb2.BatchUpdateFederatedBundleResponse()
        for outcome in await self._each(request.bundle, "updating", "bundle updated", one):
            _fill(response.results.add(), outcome, hidden)
        return response

    async def set(
        self, request: bundle_pb2.BatchSetFederatedBundleRequest
    ) -> bundle_pb2.BatchSetFederatedBundleResponse:
        hidden = hidden_fields(request, "output_mask")
        response = bundle_pb2.BatchSetFederatedBundleResponse()
        for outcome in await self._each(request.bundle, "setting", "bundle set", self._store.put):
            _fill(response.results.add(), outcome, hidden)
        return response

    async def delete(
        self, request: bundle_pb2.BatchDeleteFederatedBundleRequest
    ) -> bundle_pb2.BatchDeleteFederatedBundleResponse:
        """Entries that federate with one are dealt with as the mode says.

        Raises:
            StatusError: there is no such mode.
        """
        federating = _MODES.get(request.mode)
        if federating is None:
            raise invalid(
                f'failed to parse deletion mode: unhandled delete mode "{int(request.mode)}"'
            )
        response = bundle_pb2.BatchDeleteFederatedBundleResponse()
        for name in request.trust_domains:
            outcome = await self._delete(name, federating)
            response.results.add(status=outcome, trust_domain=name)
        await self._settled()
        return response

    async def _delete(self, name: str, federating: Federating) -> types_pb2.Status:
        try:
            domain = trust_domain(name)
            if domain == self._own:
                text = "removing the bundle for the server trust domain is not allowed"
                return status(_INVALID, text)
            await self._federated.delete(domain, federating)
        except ConversionError as error:
            return status(_INVALID, str(error))
        except NotFound as error:
            return status(grpc.StatusCode.NOT_FOUND, str(error))
        except BundleInUse as error:
            text = f"failed to delete federated bundle: datastore-sql: {error}"
            return status(grpc.StatusCode.FAILED_PRECONDITION, text)
        self._observer.act("bundle deleted", trust_domain=domain.name, entries=federating.value)
        return OK

    async def _each(
        self,
        messages: Sequence[types_pb2.Bundle],
        verb: str,
        act: str,
        store: Callable[[Bundle], Awaitable[Outcome]],
    ) -> list[Outcome]:
        outcomes = []
        for message in messages:
            outcome = self._decode(message, verb)
            if isinstance(outcome, Bundle):
                outcome = await store(outcome)
            if isinstance(outcome, Bundle):
                self._observer.act(act, trust_domain=outcome.trust_domain.name)
            outcomes.append(outcome)
        await self._settled()
        return outcomes

    def _decode(self, message: types_pb2.Bundle, verb: str) -> Outcome:
        try:
            domain = trust_domain(message.trust_domain)
        except ConversionError as error:
            return status(_INVALID, str(error))
        if domain == self._own:
            text = f"{verb} a federated bundle for the server's own trust domain is not allowed"
            return status(_INVALID, text)
        try:
            return decode_bundle(message, domain)
        except ConversionError as error:
            return status(_INVALID, f"failed to convert bundle: {error}")


_Result = (
    bundle_pb2.BatchCreateFederatedBundleResponse.Result
    | bundle_pb2.BatchUpdateFederatedBundleResponse.Result
    | bundle_pb2.BatchSetFederatedBundleResponse.Result
)


def _fill(result: _Result, outcome: Outcome, hidden: Sequence[str]) -> None:
    if isinstance(outcome, Bundle):
        result.status.CopyFrom(OK)
        result.bundle.CopyFrom(encode_bundle(outcome, hidden))
    else:
        result.status.CopyFrom(outcome)
