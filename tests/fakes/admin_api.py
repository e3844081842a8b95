"""The server's admin API in memory: what a command asks for is kept, and answered honestly.

`refuse` makes a method fail; `health` says how the server is. It knows no rules beyond those that
the commands' texts depend on: the rules have their tests beside the real API.
"""
# ruff: noqa: ARG002  (the signatures are gRPC's)

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.empty_pb2 import Empty

from finial.api.grpc import health_pb2, health_pb2_grpc
from finial.api.spire import types_pb2 as types
from finial.api.spire.server import (
    agent_pb2,
    agent_pb2_grpc,
    bundle_pb2_grpc,
    debug_pb2,
    debug_pb2_grpc,
    entry_pb2,
    entry_pb2_grpc,
    logger_pb2_grpc,
    svid_pb2,
    svid_pb2_grpc,
)
from finial.spiffe import SpiffeId
from tests.fakes.ca import NOW, FakeCa

if TYPE_CHECKING:
    from collections.abc import Sequence

Code = grpc.StatusCode
OK = types.Status(code=0, message="OK")


def not_ok(code: grpc.StatusCode, message: str) -> types.Status:
    return types.Status(code=code.value[0], message=message)


@dataclass
class FakeAdminApi:
    """The state behind all services; a test may read and change it at any time."""

    ca: FakeCa = field(default_factory=FakeCa)
    entries: dict[str, types.Entry] = field(default_factory=dict)
    agents: dict[str, types.Agent] = field(default_factory=dict)
    tokens: list[agent_pb2.CreateJoinTokenRequest] = field(default_factory=list)
    refuse: dict[str, tuple[grpc.StatusCode, str]] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    health: health_pb2.HealthCheckResponse.ServingStatus.ValueType = (
        health_pb2.HealthCheckResponse.SERVING
    )
    level: types.LogLevel.ValueType = types.INFO
    longest: int = 3600
    wit_authorities: list[types.WITKey] = field(default_factory=list)

    def seen(self, method: str, request: Any, context: Any) -> None:
        """Keep the request; refuse it when a test says so."""
        self.requests.append(request)
        if method in self.refuse:
            context.abort(*self.refuse[method])

    def add_to(self, server: grpc.Server) -> None:
        """Register every service."""
        agent_pb2_grpc.add_AgentServicer_to_server(_Agents(self), server)
        bundle_pb2_grpc.add_BundleServicer_to_server(_Bundles(self), server)
        debug_pb2_grpc.add_DebugServicer_to_server(_Debug(self), server)
        entry_pb2_grpc.add_EntryServicer_to_server(_Entries(self), server)
        health_pb2_grpc.add_HealthServicer_to_server(_Health(self), server)
        logger_pb2_grpc.add_LoggerServicer_to_server(_Logger(self), server)
        svid_pb2_grpc.add_SVIDServicer_to_server(_Svids(self), server)

    def bundle(self) -> types.Bundle:
        bundle = self.ca.bundle()
        return types.Bundle(
            trust_domain=bundle.trust_domain.name,
            x509_authorities=[
                types.X509Certificate(asn1=each.der) for each in bundle.x509_authorities
            ],
            jwt_authorities=[
                types.JWTKey(key_id=each.key_id, public_key=each.spki_der)
                for each in bundle.jwt_authorities
            ],
            wit_authorities=self.wit_authorities,
            sequence_number=7,
        )


def page_of(items: Sequence[Any], size: int, token: str) -> tuple[list[Any], str]:
    """Up to `size` items after the token; as SPIRE's, the last token leads to an empty page."""
    start = int(token or 0)
    if size <= 0:
        return list(items), ""
    page = list(items[start : start + size])
    return page, str(start + len(page)) if page else ""


class _Service:
    def __init__(self, api: FakeAdminApi) -> None:
        self.api = api


class _Entries(_Service, entry_pb2_grpc.EntryServicer):
    def CountEntries(self, request: Any, context: Any) -> entry_pb2.CountEntriesResponse:
        self.api.seen("CountEntries", request, context)
        return entry_pb2.CountEntriesResponse(count=len(self.api.entries))

    def ListEntries(self, request: Any, context: Any) -> entry_pb2.ListEntriesResponse:
        self.api.seen("ListEntries", request, context)
        entries = list(self.api.entries.values())
        page, token = page_of(entries, request.page_size, request.page_token)
        return entry_pb2.ListEntriesResponse(entries=page, next_page_token=token)

    def GetEntry(self, request: Any, context: Any) -> types.Entry:
        self.api.seen("GetEntry", request, context)
        if request.id not in self.api.entries:
            context.abort(Code.NOT_FOUND, "entry not found")
        return self.api.entries[request.id]

    def BatchCreateEntry(self, request: Any, context: Any) -> entry_pb2.BatchCreateEntryResponse:
        self.api.seen("BatchCreateEntry", request, context)
        results = [self._create(entry) for entry in request.entries]
        return entry_pb2.BatchCreateEntryResponse(results=results)

    def _create(self, entry: types.Entry) -> entry_pb2.BatchCreateEntryResponse.Result:
        for stored in self.api.entries.values():
            if stored.spiffe_id == entry.spiffe_id and stored.parent_id == entry.parent_id:
                status = not_ok(Code.ALREADY_EXISTS, "similar entry already exists")
                return entry_pb2.BatchCreateEntryResponse.Result(status=status, entry=stored)
        stored = types.Entry()
        stored.CopyFrom(entry)
        stored.id = entry.id or f"id-{next(_numbers)}"
        stored.created_at = int(NOW)
        self.api.entries[stored.id] = stored
        return entry_pb2.BatchCreateEntryResponse.Result(status=OK, entry=stored)

    def BatchUpdateEntry(self, request: Any, context: Any) -> entry_pb2.BatchUpdateEntryResponse:
        self.api.seen("BatchUpdateEntry", request, context)
        results = []
        for entry in request.entries:
            if entry.id not in self.api.entries:
                status = not_ok(Code.NOT_FOUND, "failed to update entry")
                results.append(entry_pb2.BatchUpdateEntryResponse.Result(status=status))
                continue
            entry.revision_number = self.api.entries[entry.id].revision_number + 1
            self.api.entries[entry.id] = entry
            results.append(entry_pb2.BatchUpdateEntryResponse.Result(status=OK, entry=entry))
        return entry_pb2.BatchUpdateEntryResponse(results=results)

    def BatchDeleteEntry(self, request: Any, context: Any) -> entry_pb2.BatchDeleteEntryResponse:
        self.api.seen("BatchDeleteEntry", request, context)
        results = []
        for entry_id in request.ids:
            found = self.api.entries.pop(entry_id, None)
            status = OK if found else not_ok(Code.NOT_FOUND, "entry not found")
            results.append(entry_pb2.BatchDeleteEntryResponse.Result(status=status, id=entry_id))
        return entry_pb2.BatchDeleteEntryResponse(results=results)


class _Agents(_Service, agent_pb2_grpc.AgentServicer):
    def CountAgents(self, request: Any, context: Any) -> agent_pb2.CountAgentsResponse:
        self.api.seen("CountAgents", request, context)
        return agent_pb2.CountAgentsResponse(count=len(self.api.agents))

    def ListAgents(self, request: Any, context: Any) -> agent_pb2.ListAgentsResponse:
        self.api.seen("ListAgents", request, context)
        agents = list(self.api.agents.values())
        page, token = page_of(agents, request.page_size, request.page_token)
        return agent_pb2.ListAgentsResponse(agents=page, next_page_token=token)

    def GetAgent(self, request: Any, context: Any) -> types.Agent:
        self.api.seen("GetAgent", request, context)
        return self._known(request, context)

    def DeleteAgent(self, request: Any, context: Any) -> Empty:
        self.api.seen("DeleteAgent", request, context)
        self._known(request, context)
        del self.api.agents[request.id.path]
        return Empty()

    def BanAgent(self, request: Any, context: Any) -> Empty:
        self.api.seen("BanAgent", request, context)
        self._known(request, context).banned = True
        return Empty()

    def _known(self, request: Any, context: Any) -> types.Agent:
        if request.id.path not in self.api.agents:
            context.abort(Code.NOT_FOUND, "agent not found")
        return self.api.agents[request.id.path]

    def CreateJoinToken(self, request: Any, context: Any) -> types.JoinToken:
        self.api.seen("CreateJoinToken", request, context)
        if request.ttl < 1:
            context.abort(Code.INVALID_ARGUMENT, "ttl is required, you must provide one")
        self.api.tokens.append(request)
        return types.JoinToken(value="the-token", expires_at=int(NOW) + request.ttl)


class _Bundles(_Service, bundle_pb2_grpc.BundleServicer):
    def GetBundle(self, request: Any, context: Any) -> types.Bundle:
        self.api.seen("GetBundle", request, context)
        return self.api.bundle()


class _Svids(_Service, svid_pb2_grpc.SVIDServicer):
    """Lifetimes are counted from the real clock, as the commands compare them with it."""

    def MintX509SVID(self, request: Any, context: Any) -> svid_pb2.MintX509SVIDResponse:
        self.api.seen("MintX509SVID", request, context)
        svid = self.api.ca.issue("spiffe://example.org/minted")
        answer = types.X509SVID(cert_chain=svid.chain, expires_at=self._end(request.ttl))
        return svid_pb2.MintX509SVIDResponse(svid=answer)

    def MintJWTSVID(self, request: Any, context: Any) -> svid_pb2.MintJWTSVIDResponse:
        self.api.seen("MintJWTSVID", request, context)
        answer = types.JWTSVID(token="the.jwt.svid", id=request.id)
        answer.expires_at = self._end(request.ttl)
        return svid_pb2.MintJWTSVIDResponse(svid=answer)

    def MintWITSVID(self, request: Any, context: Any) -> svid_pb2.MintWITSVIDResponse:
        self.api.seen("MintWITSVID", request, context)
        answer = types.WITSVID(token="the.wit.svid", id=request.id)
        answer.expires_at = self._end(request.ttl)
        return svid_pb2.MintWITSVIDResponse(svid=answer)

    def _end(self, ttl: int) -> int:
        return int(time.time() + min(ttl, self.api.longest))


class _Logger(_Service, logger_pb2_grpc.LoggerServicer):
    def GetLogger(self, request: Any, context: Any) -> types.Logger:
        return types.Logger(current_level=self.api.level, launch_level=types.INFO)

    def SetLogLevel(self, request: Any, context: Any) -> types.Logger:
        self.api.level = request.new_level
        return self.GetLogger(request, context)

    def ResetLogLevel(self, request: Any, context: Any) -> types.Logger:
        self.api.level = types.INFO
        return self.GetLogger(request, context)


class _Debug(_Service, debug_pb2_grpc.DebugServicer):
    def GetInfo(self, request: Any, context: Any) -> debug_pb2.GetInfoResponse:
        cert = debug_pb2.GetInfoResponse.Cert(
            id=types.SPIFFEID(trust_domain="example.org", path="/spire/server"),
            expires_at=int(NOW),
            subject="O=SPIRE,C=US",
        )
        return debug_pb2.GetInfoResponse(
            svid_chain=[cert],
            uptime=3725,
            agents_count=len(self.api.agents),
            entries_count=len(self.api.entries),
            federated_bundles_count=1,
        )


class _Health(_Service, health_pb2_grpc.HealthServicer):
    def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=self.api.health)


def agent(path: str = "/spire/agent/join_token/t1", **fields: Any) -> types.Agent:
    """An attested agent's record."""
    known: dict[str, Any] = {
        "id": types.SPIFFEID(trust_domain="example.org", path=path),
        "attestation_type": "join_token",
        "x509svid_serial_number": "4711",
        "x509svid_expires_at": int(NOW),
    }
    return types.Agent(**(known | fields))


def entry(uri: str = "spiffe://example.org/w", **fields: Any) -> types.Entry:
    """A stored entry."""
    parsed = SpiffeId.parse(uri)
    known: dict[str, Any] = {
        "id": "e1",
        "spiffe_id": types.SPIFFEID(trust_domain=parsed.trust_domain.name, path=parsed.path),
        "parent_id": types.SPIFFEID(trust_domain="example.org", path="/n1"),
        "selectors": [types.Selector(type="unix", value="uid:0")],
    }
    return types.Entry(**(known | fields))


_numbers = itertools.count(1)
