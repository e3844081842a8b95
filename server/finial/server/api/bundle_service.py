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
from finial.runtime.rpc import StatusError
from finial.server.api.answers import Answers
from finial.server.api.bundle_codec import (
    decode_jwt_authorities,
    decode_wit_authorities,
    decode_x509_authorities,
    encode_bundle,
)
from finial.server.api.convert import ConversionError, trust_domain
from finial.server.api.failure import invalid, not_found
from finial.server.api.federated_batches import FederatedBatches
from finial.server.api.masks import hidden_fields
from finial.server.api.ratelimit import Limited, RateLimits
from finial.server.api.settled import Settled
from finial.server.datastore.bundles import BundleStore
from finial.server.datastore.federated_bundles import FederatedBundles
from finial.server.registry.errors import KeyIdTaken, NotFound
from finial.spiffe.bundle import Bundle, BundleSource, JwtAuthority, WitAuthority
from finial.spiffe.trust_domain import TrustDomain


class BundleService(BundleServicer):
    """Single bundles are read from memory, lists from the store."""

    def __init__(
        self,
        *,
        own: TrustDomain,
        bundles: BundleSource,
        store: BundleStore,
        federated: FederatedBundles,
        settled: Settled,
        limits: RateLimits,
        observer: Observer,
        wit_enabled: bool = False,
    ) -> None:
        self._own = own
        self._bundles = bundles
        self._store = store
        self._settled = settled
        self._observer = observer
        self._limits = limits
        self._wit_enabled = wit_enabled
        self._answers = Answers()
        self._batches = FederatedBatches(
            own=own, store=store, federated=federated, settled=settled, observer=observer
        )

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
        return await self._batches.page(request)

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

    async def PublishJWTAuthority(
        self, request: bundle_pb2.PublishJWTAuthorityRequest, context: Any
    ) -> bundle_pb2.PublishJWTAuthorityResponse:
        await self._limits.admit(context, Limited.JWT_KEYS)
        if not request.HasField("jwt_authority"):
            raise invalid("missing JWT authority")
        try:
            (authority,) = decode_jwt_authorities([request.jwt_authority])
        except ConversionError as error:
            raise invalid(f"invalid JWT authority: {error}") from None
        bundle = await self._publish("JWT", authority)
        keys = encode_bundle(bundle, ()).jwt_authorities
        return bundle_pb2.PublishJWTAuthorityResponse(jwt_authorities=keys)

    async def PublishWITAuthority(
        self, request: bundle_pb2.PublishWITAuthorityRequest, context: Any
    ) -> bundle_pb2.PublishWITAuthorityResponse:
        await self._limits.admit(context, Limited.WIT_KEYS)
        if not self._wit_enabled:
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, "WIT functionality is disabled")
        if not request.HasField("wit_authority"):
            raise invalid("missing WIT authority")
        try:
            (authority,) = decode_wit_authorities([request.wit_authority])
        except ConversionError as error:
            raise invalid(f"invalid WIT authority: {error}") from None
        bundle = await self._publish("WIT", authority)
        keys = encode_bundle(bundle, ()).wit_authorities
        return bundle_pb2.PublishWITAuthorityResponse(wit_authorities=keys)

    async def BatchCreateFederatedBundle(
        self, request: bundle_pb2.BatchCreateFederatedBundleRequest, context: Any
    ) -> bundle_pb2.BatchCreateFederatedBundleResponse:
        return await self._batches.create(request)

    async def BatchUpdateFederatedBundle(
        self, request: bundle_pb2.BatchUpdateFederatedBundleRequest, context: Any
    ) -> bundle_pb2.BatchUpdateFederatedBundleResponse:
        return await self._batches.update(request)

    async def BatchSetFederatedBundle(
        self, request: bundle_pb2.BatchSetFederatedBundleRequest, context: Any
    ) -> bundle_pb2.BatchSetFederatedBundleResponse:
        return await self._batches.set(request)

    async def BatchDeleteFederatedBundle(
        self, request: bundle_pb2.BatchDeleteFederatedBundleRequest, context: Any
    ) -> bundle_pb2.BatchDeleteFederatedBundleResponse:
        return await self._batches.delete(request)

    async def _publish(self, what: str, authority: JwtAuthority | WitAuthority) -> Bundle:
        try:
            bundle = await self._store.publish(self._own, authority)
        except KeyIdTaken as error:
            raise invalid(f"invalid {what} authority: {error}") from None
        except NotFound:
            raise StatusError(
                grpc.StatusCode.INTERNAL, f"failed to publish {what} key: no bundle to put it in"
            ) from None
        await self._settled()
        self._observer.act(f"{what} authority published", key_id=authority.key_id)
        return bundle

    def _encoded(self, wanted: TrustDomain, hidden: Sequence[str]) -> bytes:
        bundle = self._bundles.bundle_for(wanted)
        if bundle is None:
            raise not_found("bundle not found")

        def encode() -> list[bytes]:
            return [encode_bundle(bundle, hidden).SerializeToString()]

        (answer,) = self._answers.get((wanted, tuple(hidden)), bundle, encode)
        return answer
