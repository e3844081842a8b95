"""The gate that every call passes: who calls, may they, and what was seen of it.

Everything is answered from memory, on each call and not once a connection: a ban, an eviction, a
lost admin entry, a root that left the bundle and the end of a certificate count from the next
call on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import grpc

from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.clock import Clock
from finial.runtime.observe import CallInfo, CallObserver
from finial.runtime.rpc import ServerContext, StatusError, TlsCaller, UnixCaller
from finial.server.api.authorization import CallerKind, allowed_kinds
from finial.server.registry.index import AgentVerdict, check_agent
from finial.server.registry.model import Agent
from finial.spiffe import Bundle, SpiffeId, TrustDomain, VerifiedX509Svid

_REASONS: Final = {
    AgentVerdict.EXPIRED: PermissionDeniedDetails.AGENT_EXPIRED,
    AgentVerdict.NOT_ATTESTED: PermissionDeniedDetails.AGENT_NOT_ATTESTED,
    AgentVerdict.NOT_ACTIVE: PermissionDeniedDetails.AGENT_NOT_ACTIVE,
    AgentVerdict.BANNED: PermissionDeniedDetails.AGENT_BANNED,
}


class EntryRights(Protocol):
    """What entries say of an SVID's rights."""

    def is_admin(self, spiffe_id: SpiffeId) -> bool: ...

    def is_downstream(self, spiffe_id: SpiffeId) -> bool: ...


class AgentRecords(Protocol):
    """The attested agents."""

    def get(self, agent_id: SpiffeId) -> Agent | None: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What the gate found out; handlers read it from `context.identity`."""

    info: CallInfo
    kind: CallerKind
    agent: Agent | None = None
    promotes: str = ""
    """The serial number that this call, the first with it, makes the agent's only one."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    kind: CallerKind
    agent: Agent | None = None
    promotes: str = ""
    refusal: StatusError | None = None


class Gate:
    """A `CallGate` over the in-memory indexes. Owned by the API's event loop."""

    def __init__(
        self,
        *,
        clock: Clock,
        observer: CallObserver,
        entries: EntryRights,
        agents: AgentRecords,
        bundle_for: Callable[[TrustDomain], Bundle | None],
        admin_ids: frozenset[SpiffeId] = frozenset(),
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._entries = entries
        self._agents = agents
        self._bundle_for = bundle_for
        self._admin_ids = admin_ids
        self._roots: dict[TrustDomain, tuple[Bundle, frozenset[bytes]]] = {}

    def admit(self, context: ServerContext) -> None:
        """Sets `context.identity`.

        Raises:
            StatusError: PermissionDenied, not open to this caller; Unauthenticated, the caller's
                certificate hangs from a root that is not trusted any more.
        """
        verdict = self._judge(context)
        info = CallInfo(
            context.correlation_id,
            context.method,
            _name_of(context.caller),
            verdict.kind.value,
        )
        context.identity = Identity(info, verdict.kind, verdict.agent, verdict.promotes)
        self._observer.started(info)
        if verdict.refusal is not None:
            raise verdict.refusal

    def check_again(self, context: ServerContext) -> None:
        """For long streams: raises as `admit` does when the caller lost its right since."""
        refusal = self._judge(context).refusal
        if refusal is not None:
            raise refusal

    def finished(
        self,
        context: ServerContext,
        code: grpc.StatusCode,
        message: str,
        seconds: float,
    ) -> None:
        identity = context.identity
        if isinstance(identity, Identity):
            self._observer.finished(identity.info, code, message, seconds)

    def _judge(self, context: ServerContext) -> _Verdict:
        allowed = allowed_kinds(context.method)
        caller = context.caller
        if CallerKind.ANY in allowed:
            return _Verdict(CallerKind.ANY)
        if isinstance(caller, UnixCaller):
            refusal = None if CallerKind.LOCAL in allowed else _denied(context.method)
            return _Verdict(CallerKind.LOCAL, refusal=refusal)
        if caller.svid is None:
            return _Verdict(CallerKind.ANY, refusal=_denied(context.method))
        return self._judge_svid(context.method, allowed, caller.svid)

    def _judge_svid(
        self,
        method: str,
        allowed: frozenset[CallerKind],
        svid: VerifiedX509Svid,
    ) -> _Verdict:
        now = self._clock.time()
        if not self._root_is_trusted(svid):
            return _Verdict(CallerKind.ANY, refusal=_untrusted(svid))
        if now <= svid.not_after:
            if CallerKind.ADMIN in allowed and self._is_admin(svid.id):
                return _Verdict(CallerKind.ADMIN)
            if CallerKind.DOWNSTREAM in allowed and self._entries.is_downstream(svid.id):
                return _Verdict(CallerKind.DOWNSTREAM)
        if CallerKind.AGENT not in allowed:
            return _Verdict(CallerKind.ANY, refusal=_denied(method))
        return self._judge_agent(method, svid, now)

    def _judge_agent(self, method: str, svid: VerifiedX509Svid, now: float) -> _Verdict:
        agent = self._agents.get(svid.id)
        serial = str(svid.serial)
        verdict = check_agent(agent, serial, now)
        if now > svid.not_after:
            verdict = AgentVerdict.EXPIRED
        reason = _REASONS.get(verdict)
        if reason is not None:
            return _Verdict(CallerKind.ANY, refusal=_denied(method, reason))
        promotes = serial if verdict is AgentVerdict.OK_NEW_SERIAL else ""
        return _Verdict(CallerKind.AGENT, agent, promotes)

    def _is_admin(self, caller: SpiffeId) -> bool:
        return caller in self._admin_ids or self._entries.is_admin(caller)

    def _root_is_trusted(self, svid: VerifiedX509Svid) -> bool:
        domain = svid.id.trust_domain
        bundle = self._bundle_for(domain)
        if bundle is None:
            return False
        known = self._roots.get(domain)
        if known is None or known[0] is not bundle:
            known = (bundle, frozenset(a.der for a in bundle.x509_authorities))
            self._roots[domain] = known
        return svid.root_der in known[1]


def _name_of(caller: UnixCaller | TlsCaller) -> str:
    if isinstance(caller, UnixCaller):
        return f"uid={caller.uid} gid={caller.gid} pid={caller.pid}"
    return caller.address if caller.svid is None else str(caller.svid.id)


def _denied(
    method: str,
    reason: "PermissionDeniedDetails.Reason | None" = None,
) -> StatusError:
    details = () if reason is None else (PermissionDeniedDetails(reason=reason),)
    return StatusError(
        grpc.StatusCode.PERMISSION_DENIED,
        f"authorization denied for method {method}",
        details,
    )


def _untrusted(svid: VerifiedX509Svid) -> StatusError:
    return StatusError(
        grpc.StatusCode.UNAUTHENTICATED,
        f'the authority of the certificate of "{svid.id}" is no longer in the bundle of its '
        "trust domain; get a new certificate",
    )
