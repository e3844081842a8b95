"""The Bundle service: the trust domain's own bundle, and those that entries federate with."""

# The wire names the methods and hands each a context.
# ruff: noqa: N802, ARG002

from collections.abc import Sequence
from typing import Any

import grpc

from finial.api.spire import types_pb2
from finial.api.spire.server import bundle_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleServicer
from finial.runtime.observe import Observer
from finial.server.api.answers import Answers
from finial.server.api.bundle_codec import (
    decode_bundle,
    decode_jwt_authorities,
    decode_wit_authorities,
    decode_x509_authorities,
    encode_bundle,
)
from finial.server.api.convert import OK, ConversionError, status, trust_domain
from finial.server.api.failure import invalid, not_found
from finial.server.api.masks import hidden_fields
from finial.server.api.settled import Settled
from finial.server.datastore.bundles import BundleStore
from finial.server.registry.errors import KeyIdTaken
from finial.spiffe.bundle import Bundle, BundleSource
from finial.spiffe.trust_domain import TrustDomain

_INVALID = grpc.StatusCode.INVALID_ARGUMENT


class BundleService(BundleServicer):
    """Single bundles are read from memory, lists from the store."""

    def __init__(
        self,
        *,
        own: TrustDomain,
        bundles: BundleSource,
        store: BundleStore,
        settled: Settled,
        observer: Observer,
    ) -> None:
        self._own = own
        self._bundles = bundles
        self._store = store
        self._settled = settled
        self._observer = observer
        self._answers = Answers()

    async def CountBundles(
        self, request: bundle_pb2.CountBundlesRequest, context: Any
    ) -> bundle_pb2.CountBundlesResponse:
        return bundle_pb2.CountBundlesResponse(count=await self._store.count())

    def GetBundle(self, request: bundle_pb2.GetBundleRequest, context: Any) -> Any:
        return self._encoded(self._own, hidden_fields(request, "output_mask"))

    def GetFederatedBundle(
        self, request: bundle_pb2.GetFederatedBundleRequest, context: Any
    ) -> Any:
        try:
            wanted = trust_domain(request.trust_domain)
        except ConversionError as error:
            raise invalid(str(error)) from None
        if wanted == self._own:
            raise invalid(
                "getting a federated bundle for the server's own trust domain is not allowed"
            )
        return self._encoded(wanted, hidden_fields(request, "output_mask"))

    async def ListFederatedBundles(
        self, request: bundle_pb2.ListFederatedBundlesRequest, context: Any
    ) -> bundle_pb2.ListFederatedBundlesResponse:
        stored = [b for b in await self._store.list() if b.trust_domain != self._own]
        page = _page(stored, request.page_size, request.page_token)
        hidden = hidden_fields(request, "output_mask")
        more = request.page_size > 0 and bool(page)
        return bundle_pb2.ListFederatedBundlesResponse(
            bundles=[encode_bundle(bundle, hidden) for bundle in page],
            next_page_token=page[-1].trust_domain.name if more else "",
        )

    async def AppendBundle(
        self, request: bundle_pb2.AppendBundleRequest, context: Any
    ) -> types_pb2.Bundle:
        if not (request.x509_authorities or request.jwt_authorities or request.wit_authorities):
            raise invalid("no authorities to append")
        what = "X.509"
        try:
            x509 = decode_x509_authorities(request.x509_authorities)
            what = "JWT"
            jwt = decode_jwt_authorities(request.jwt_authorities)
            what = "WIT"
            wit = decode_wit_authorities(request.wit_authorities)
        except ConversionError as error:
            raise invalid(f"failed to convert {what} authority: {error}") from None
        try:
            bundle = await self._store.append(self._own, x509, jwt, wit)
        except KeyIdTaken as error:
            raise invalid(f"failed to append authorities: {error}") from None
        await self._settled()
        self._observer.act("authorities appended", sequence_number=bundle.sequence)
        return encode_bundle(bundle, hidden_fields(request, "output_mask"))

    async def BatchSetFederatedBundle(
        self, request: bundle_pb2.BatchSetFederatedBundleRequest, context: Any
    ) -> bundle_pb2.BatchSetFederatedBundleResponse:
        hidden = hidden_fields(request, "output_mask")
        response = bundle_pb2.BatchSetFederatedBundleResponse()
        for message in request.bundle:
            outcome = self._decode(message)
            if isinstance(outcome, Bundle):
                stored = await self._store.put(outcome)
                self._observer.act("bundle set", trust_domain=stored.trust_domain.name)
                response.results.add(status=OK, bundle=encode_bundle(stored, hidden))
            else:
                response.results.add(status=outcome)
        await self._settled()
        return response

    def _encoded(self, wanted: TrustDomain, hidden: Sequence[str]) -> bytes:
        bundle = self._bundles.bundle_for(wanted)
        if bundle is None:
            raise not_found("bundle not found")

        def encode() -> list[bytes]:
            return [encode_bundle(bundle, hidden).SerializeToString()]

        (answer,) = self._answers.get((wanted, tuple(hidden)), bundle, encode)
        return answer

    def _decode(self, message: types_pb2.Bundle) -> Bundle | types_pb2.Status:
        try:
            domain = trust_domain(message.trust_domain)
        except ConversionError as error:
            return status(_INVALID, str(error))
        if domain == self._own:
            return status(
                _INVALID,
                "setting a federated bundle for the server's own trust domain is not allowed",
            )
        try:
            return decode_bundle(message, domain)
        except ConversionError as error:
            return status(_INVALID, f"failed to convert bundle: {error}")


def _page(bundles: Sequence[Bundle], size: int, token: str) -> Sequence[Bundle]:
    """One page; the token is the name of the last trust domain of the page before."""
    start = 0
    if token:
        names = [bundle.trust_domain.name for bundle in bundles]
        if token not in names:
            raise invalid("failed to list bundles: could not parse token")
        start = names.index(token) + 1
    return bundles[start : start + size] if size > 0 else bundles[start:]
