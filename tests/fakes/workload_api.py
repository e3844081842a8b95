"""A Workload API in memory: one identity or several, until told to refuse."""
# ruff: noqa: ARG002  (the signatures are gRPC's)

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.struct_pb2 import Struct

from finial.api.grpc import health_pb2, health_pb2_grpc
from finial.api.workload import workload_pb2 as pb
from finial.api.workload import workload_pb2_grpc as pb_grpc
from tests.fakes.ca import FakeCa

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

JWKS = json.dumps({"keys": []}).encode()


@dataclass
class FakeWorkloadApi:
    """`ids` are SPIFFE ID and hint; `refusal` is what every call fails with.

    `answers` are given instead of the honest ones, by method. With `lasting`, streams of X509-SVIDs
    are open until it is set.
    """

    ca: FakeCa = field(default_factory=FakeCa)
    other: FakeCa = field(default_factory=lambda: FakeCa("other.org"))
    ids: list[tuple[str, str]] = field(
        default_factory=lambda: [("spiffe://example.org/w", "the hint")]
    )
    federated: bool = False
    refusal: tuple[grpc.StatusCode, str] | None = None
    requests: list[Any] = field(default_factory=list)
    updates: int = 1
    answers: dict[str, list[Any]] = field(default_factory=dict)
    lasting: threading.Event | None = None

    def add_to(self, server: grpc.Server) -> None:
        """Register the services."""
        pb_grpc.add_SpiffeWorkloadAPIServicer_to_server(_Workload(self), server)
        health_pb2_grpc.add_HealthServicer_to_server(_Health(), server)

    def seen(self, request: Any, context: Any) -> None:
        """Keep the request; refuse it without the header, or when a test says so."""
        if ("workload.spiffe.io", "true") not in list(context.invocation_metadata()):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        self.requests.append(request)
        if self.refusal:
            context.abort(*self.refusal)

    def x509(self) -> pb.X509SVIDResponse:
        svids = [self.ca.issue(uri, hint=hint) for uri, hint in self.ids]
        bundle = self.ca.bundle().x509_der()
        return pb.X509SVIDResponse(
            svids=[
                pb.X509SVID(
                    spiffe_id=svid.id.uri,
                    x509_svid=b"".join(svid.chain),
                    x509_svid_key=svid.key_pkcs8,
                    bundle=bundle,
                    hint=hint,
                )
                for svid, (_, hint) in zip(svids, self.ids, strict=True)
            ],
            federated_bundles=(
                {"spiffe://other.org": self.other.bundle().x509_der()} if self.federated else {}
            ),
        )


class _Workload(pb_grpc.SpiffeWorkloadAPIServicer):
    def __init__(self, api: FakeWorkloadApi) -> None:
        self.api = api

    def FetchX509SVID(self, request: Any, context: Any) -> Iterator[pb.X509SVIDResponse]:
        self.api.seen(request, context)
        lasting = self.api.lasting
        honest = (self.api.x509() for _ in range(self.api.updates))
        yield from self.api.answers.get("FetchX509SVID", honest)
        if lasting is not None:
            context.add_callback(lasting.set)
            lasting.wait()

    def FetchJWTBundles(self, request: Any, context: Any) -> Iterator[pb.JWTBundlesResponse]:
        self.api.seen(request, context)
        honest = pb.JWTBundlesResponse(bundles={"spiffe://example.org": JWKS})
        yield from self.api.answers.get("FetchJWTBundles", [honest])

    def FetchJWTSVID(self, request: Any, context: Any) -> pb.JWTSVIDResponse:
        self.api.seen(request, context)
        honest = pb.JWTSVIDResponse(
            svids=[pb.JWTSVID(spiffe_id=uri, svid="a.b.c", hint=hint) for uri, hint in self.api.ids]
        )
        (answer,) = self.api.answers.get("FetchJWTSVID", [honest])
        assert isinstance(answer, pb.JWTSVIDResponse)
        return answer

    def ValidateJWTSVID(self, request: Any, context: Any) -> pb.ValidateJWTSVIDResponse:
        self.api.seen(request, context)
        if request.svid != "a.b.c":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "token has expired")
        claims = Struct()
        claims.update({"sub": self.api.ids[0][0], "aud": [request.audience], "exp": 1800000000})
        honest = pb.ValidateJWTSVIDResponse(spiffe_id=self.api.ids[0][0], claims=claims)
        (answer,) = self.api.answers.get("ValidateJWTSVID", [honest])
        assert isinstance(answer, pb.ValidateJWTSVIDResponse)
        return answer


class _Health(health_pb2_grpc.HealthServicer):
    def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
