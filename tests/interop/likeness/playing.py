"""Puts the cases to a server, by the stubs that grpcio's generator made."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2

from finial.api.grpc import health_pb2, health_pb2_grpc
from finial.api.spire import types_pb2
from finial.api.spire.server import (
    agent_pb2,
    agent_pb2_grpc,
    bundle_pb2,
    bundle_pb2_grpc,
    debug_pb2,
    debug_pb2_grpc,
    entry_pb2,
    entry_pb2_grpc,
    localauthority_pb2,
    localauthority_pb2_grpc,
    logger_pb2,
    logger_pb2_grpc,
    svid_pb2,
    svid_pb2_grpc,
    trustdomain_pb2,
    trustdomain_pb2_grpc,
)
from tests.interop.likeness.showing import show
from tests.interop.likeness.steps import DOMAIN
from tests.interop.transcript import mask

if TYPE_CHECKING:
    from tests.interop.likeness.contender import Contender
    from tests.interop.likeness.steps import Groups, Step

SERVICES: dict[str, tuple[Any, Any]] = {
    "Agent": (agent_pb2, agent_pb2_grpc),
    "Bundle": (bundle_pb2, bundle_pb2_grpc),
    "Debug": (debug_pb2, debug_pb2_grpc),
    "Entry": (entry_pb2, entry_pb2_grpc),
    "Health": (health_pb2, health_pb2_grpc),
    "LocalAuthority": (localauthority_pb2, localauthority_pb2_grpc),
    "Logger": (logger_pb2, logger_pb2_grpc),
    "SVID": (svid_pb2, svid_pb2_grpc),
    "TrustDomain": (trustdomain_pb2, trustdomain_pb2_grpc),
}
PATIENCE = 60.0
"""Seconds for a call, and for what a step waits for."""
NO_CALLER = "NEVER BECAME A CALLER"
DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class Shown:
    """What came of a step.

    Attributes:
        code: the call's gRPC code by name.
        text: the call's message.
        reasons: of `PermissionDeniedDetails` in the status.
        answers: the messages that came, as plain data.
    """

    code: str
    text: str = ""
    reasons: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    @property
    def first(self) -> Any:
        """The first answer; without fields if there is none."""
        return self.answers[0] if self.answers else {}


async def play(contender: Contender, groups: Groups) -> dict[str, Shown]:
    """Every step's outcome, by `group: step`."""
    known: dict[str, str] = {}
    first = await _sequence(contender)
    played: dict[str, Shown] = {}
    for group, steps in groups.items():
        for step in steps:
            name = f"{group}: {step.name}"
            assert name not in played, name
            shown = await _until(contender, step, known)
            played[name] = replace(shown, answers=[_counted(each, first) for each in shown.answers])
    return played


async def _sequence(contender: Contender) -> int:
    """The number of the trust domain's own bundle, from which the two count."""
    bundle = await contender.own_bundle()
    return bundle.sequence_number


def _counted(answer: Any, first: int) -> Any:
    if answer.get("trust_domain") == DOMAIN and "sequence_number" in answer:
        return answer | {"sequence_number": f"<FIRST{answer['sequence_number'] - first:+}>"}
    return answer


async def _until(contender: Contender, step: Step, known: dict[str, str]) -> Shown:
    deadline = time.monotonic() + PATIENCE
    while True:
        shown = await _play(contender, step, known)
        if step.until is None or step.until(shown) or time.monotonic() > deadline:
            return shown
        await asyncio.sleep(0.1)


async def _play(contender: Contender, step: Step, known: dict[str, str]) -> Shown:
    messages: list[Any] = []
    if not contender.knows(step.caller):
        return Shown(NO_CALLER)
    try:
        request = _filled(step.request, known)
        # On a thread: of a call that is refused while it still sends, grpcio's asyncio face at
        # times tells no more than that it failed.
        await asyncio.to_thread(_ask, contender.channel(step.caller), step, request, messages)
    except grpc.RpcError as error:
        text = mask(error.details() or "")
        return Shown(error.code().name, text, _reasons(error), [show(each) for each in messages])
    for name, way in step.keep.items():
        known[name] = str(_at(messages[-1], way))
    if step.becomes:
        await contender.become(step.becomes, _svid(messages[-1]))
    shown = Shown("OK", answers=[show(each) for each in messages])
    if step.unordered:
        for answer in shown.answers:
            answer.get("entries", []).sort(key=itemgetter("id"))
    return shown


def _ask(channel: grpc.Channel, step: Step, request: Any, answers: list[Any]) -> None:
    """Make the call; `answers` gets the messages as they come, so that those before a failure stay.

    Raises:
        grpc.RpcError: the call was refused.
    """
    if step.method.startswith("/"):
        raw: Any = channel.unary_unary(step.method)
        answers.append(raw(b"", timeout=PATIENCE))
        return
    service, _, name = step.method.partition(".")
    messages, stubs = SERVICES[service]
    method = messages.DESCRIPTOR.services_by_name[service].methods_by_name[name]
    kind = GetMessageClass(method.input_type)
    asked = getattr(getattr(stubs, f"{service}Stub")(channel), name)
    given = [kind(**each) for each in (request if isinstance(request, list) else [request])]
    call = asked(iter(given) if method.client_streaming else given[0], timeout=PATIENCE)
    answers.extend(call if method.server_streaming else (call,))


def _filled(value: Any, known: dict[str, str]) -> Any:
    """The request with what earlier steps have kept."""
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(each, known) for each in value]
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace(f"{{{name}}}", text)
    if isinstance(value, bytes) and value.startswith(b"{"):
        return known[value[1:-1].decode()].encode()
    return value


def _at(message: Any, way: str) -> Any:
    for word in way.split("."):
        message = message[int(word)] if word.isdigit() else getattr(message, word)
    return base64.b64encode(message).decode() if isinstance(message, bytes) else message


def _svid(message: Any) -> list[bytes]:
    holder = message.result if isinstance(message, agent_pb2.AttestAgentResponse) else message
    return list(holder.svid.cert_chain)


def _reasons(error: Any) -> list[str]:
    """The reasons for a refusal that came as details of the status."""
    reasons = []
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS:
            for each in status_pb2.Status.FromString(value).details:
                found = types_pb2.PermissionDeniedDetails()
                reasons.append(_reason(found) if each.Unpack(found) else each.type_url)
    return reasons


def _reason(details: types_pb2.PermissionDeniedDetails) -> str:
    return types_pb2.PermissionDeniedDetails.Reason.Name(details.reason)
