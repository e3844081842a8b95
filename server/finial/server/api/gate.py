"""The gate that every call passes: who calls, may they, and what was seen of it.

Everything is answered from memory, on each call and not once a connection: a ban, an eviction, a
lost admin entry, a root that left the bundle and the end of a certificate count from the next
call on.

Where several servers share a database, one may not know yet what another has just recorded. So an
agent that by memory has no right is in doubt there: its call is decided on by `settle`, once
memory agrees with the database, and no handler runs before. An agent that is told for nothing
that it is not attested gives up its identity; with a join token it never gets another.
"""

from collections.abc import Collection
from typing import Final, NamedTuple, Protocol

import grpc

from finial.api.spire.types_pb2 import PermissionDeniedDetails
from finial.runtime.clock import Clock
from finial.runtime.observe import CallInfo, CallObserver
from finial.runtime.rpc import ServerContext, StatusError, TlsCaller, UnixCaller
from finial.server.api.authorization import CallerKind, allowed_kinds
from finial.server.registry.agents import AgentVerdict, check_agent
from finial.server.registry.model import Agent
from finial.spiffe.bundle import Bundle, BundleSource
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import VerifiedX509Svid

_DETAILS: Final = {
    AgentVerdict.EXPIRED: PermissionDeniedDetails.AGENT_EXPIRED,
    AgentVerdict.NOT_ATTESTED: PermissionDeniedDetails.AGENT_NOT_ATTESTED,
    AgentVerdict.NOT_ACTIVE: PermissionDeniedDetails.AGENT_NOT_ACTIVE,
    AgentVerdict.BANNED: PermissionDeniedDetails.AGENT_BANNED,
}
_DOUBTFUL: Final = frozenset(
    {AgentVerdict.NOT_ATTESTED, AgentVerdict.NOT_ACTIVE, AgentVerdict.BANNED}
)
"""What a newer record of the agent may put right. A certificate's end is not in the record."""
_AGENT_PATHS: Final = "/spire/agent/"
"""Agents' IDs begin so: nobody else is worth a look into the database."""
_OWED: Final = frozenset({CallerKind.ADMIN, CallerKind.DOWNSTREAM, CallerKind.AGENT})
"""Kinds whose right is the registry's to give and to take, also while they call."""


class EntryRights(Protocol):
    """What entries say of an SVID's rights."""

    def is_admin(self, spiffe_id: SpiffeId) -> bool: ...

    def is_downstream(self, spiffe_id: SpiffeId) -> bool: ...


class AgentRecords(Protocol):
    """The attested agents."""

    def get(self, agent_id: SpiffeId) -> Agent | None: ...


class Identity(NamedTuple):
    """What the gate found out; handlers read it from `context.identity`."""

    info: CallInfo
    kind: CallerKind
    agent: Agent | None = None
    promotes: str = ""
    """The serial number that this call, the first with it, makes the agent's only one."""
    why: str = ""
    """Why the call was refused, in more words than the caller is told."""
    doubted: bool = False
    """Whether it has no right by what is known yet: `Gate.settle` comes before the handler."""


class _Verdict(NamedTuple):
    kind: CallerKind
    agent: Agent | None = None
    promotes: str = ""
    refusal: StatusError | None = None
    why: str = ""
    superseded: bool = False
    """Whether it is refused for a serial number that is not, or no longer, the agent's."""
    doubtful: bool = False
    """Whether the database may hold what makes it another verdict."""


class Gate:
    """A `CallGate` over the in-memory indexes. Owned by the API's event loop.

    With `doubts`, other servers write to the database of this one.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        observer: CallObserver,
        entries: EntryRights,
        agents: AgentRecords,
        bundles: BundleSource,
        admin_ids: frozenset[SpiffeId] = frozenset(),
        doubts: bool = False,
    ) -> None:
        self._doubts = doubts
        self._clock = clock
        self._observer = observer
        self._entries = entries
        self._agents = agents
        self._bundles = bundles
        self._admin_ids = admin_ids
        self._roots: dict[str, tuple[Bundle, frozenset[bytes]]] = {}
        self._open: dict[str, set[ServerContext]] = {}  # by the caller's SPIFFE ID

    def admit(self, context: ServerContext) -> None:
        """Sets `context.identity`.

        Raises:
            StatusError: PermissionDenied, not open to this caller; Unauthenticated, the caller's
                certificate hangs from a root that is not trusted any more.
        """
        verdict = self._judge(context)
        identity = _identity(context, verdict)._replace(doubted=self._doubts and verdict.doubtful)
        context.identity = identity
        self._observer.started(identity.info)
        if not identity.doubted:
            self._let_in(context, verdict)

    def settle(self, context: ServerContext) -> None:
        """Decide on a call that was admitted in doubt, now that memory agrees with the database.

        Raises:
            StatusError: as `admit`.
        """
        verdict = self._judge(context)
        context.identity = _identity(context, verdict)
        self._let_in(context, verdict)

    def _let_in(self, context: ServerContext, verdict: _Verdict) -> None:
        if verdict.refusal is not None:
            raise verdict.refusal
        if verdict.kind in _OWED:
            self._open.setdefault(_id_of(context), set()).add(context)

    def check_again(self, context: ServerContext) -> None:
        """For calls that have waited: raises as `admit` does when the caller lost its right since.

        An agent that has renewed meanwhile is told to call again, and not that its SVID is of no
        use: on that, SPIRE's agent throws away the SVID that it has, which is the new one.
        """
        verdict = self._judge(context)
        if verdict.refusal is None:
            return
        if isinstance(context.identity, Identity):
            context.identity = context.identity._replace(why=verdict.why)
        raise _superseded() if verdict.superseded else verdict.refusal

    def review(self, callers: Collection[str] | None = None) -> None:
        """End the calls under way whose callers have lost their right, as `check_again` says.

        To be called whenever agents, entries or bundles have changed, with the SPIFFE IDs whose
        rights can have become less by that; None stands for all.
        """
        concerned = tuple(self._open) if callers is None else callers
        for caller in concerned:
            for context in tuple(self._open.get(caller, ())):
                try:
                    self.check_again(context)
                except StatusError as error:
                    context.cut(error)

    def finished(
        self,
        context: ServerContext,
        code: grpc.StatusCode,
        message: str,
        seconds: float,
    ) -> None:
        self._forget(context)
        identity = context.identity
        if isinstance(identity, Identity):
            if identity.why:
                message = f"{message} ({identity.why})"
            self._observer.finished(identity.info, code, message, seconds)

    def _forget(self, context: ServerContext) -> None:
        caller = _id_of(context)
        if (calls := self._open.get(caller)) is not None:
            calls.discard(context)
            if not calls:
                del self._open[caller]

    def _judge(self, context: ServerContext) -> _Verdict:
        allowed = allowed_kinds(context.method)
        caller = context.caller
        if CallerKind.ANY in allowed:
            return _Verdict(CallerKind.ANY)
        if isinstance(caller, UnixCaller):
            if CallerKind.LOCAL in allowed:
                return _Verdict(CallerKind.LOCAL)
            return _refused(CallerKind.LOCAL, context.method, "not for callers on the socket")
        if caller.svid is None:
            return _refused(CallerKind.ANY, context.method, "no certificate")
        return self._judge_svid(context.method, allowed, caller.svid)

    def _judge_svid(
        self,
        method: str,
        allowed: frozenset[CallerKind],
        svid: VerifiedX509Svid,
    ) -> _Verdict:
        now = self._clock.time()
        if not self._root_is_trusted(svid):
            return _Verdict(CallerKind.ANY, refusal=_untrusted(svid), why="untrusted authority")
        if now <= svid.not_after:
            if CallerKind.ADMIN in allowed and self._is_admin(svid.id):
                return _Verdict(CallerKind.ADMIN)
            if CallerKind.DOWNSTREAM in allowed and self._entries.is_downstream(svid.id):
                return _Verdict(CallerKind.DOWNSTREAM)
        if CallerKind.AGENT not in allowed:
            return _refused(
                CallerKind.ANY, method, "no right to it, or its certificate has expired"
            )
        return self._judge_agent(method, svid, now)

    def _judge_agent(self, method: str, svid: VerifiedX509Svid, now: float) -> _Verdict:
        agent = self._agents.get(svid.id)
        serial = str(svid.serial)
        verdict = check_agent(agent, serial, now, svid.not_after)
        detail = _DETAILS.get(verdict)
        if detail is not None:
            return _Verdict(
                CallerKind.ANY,
                refusal=_denied(method, detail),
                why=f"agent is {verdict.value}",
                superseded=verdict is AgentVerdict.NOT_ACTIVE,
                doubtful=verdict in _DOUBTFUL and svid.id.path.startswith(_AGENT_PATHS),
            )
        promotes = serial if verdict is AgentVerdict.PROMOTE else ""
        return _Verdict(CallerKind.AGENT, agent, promotes)

    def _is_admin(self, caller: SpiffeId) -> bool:
        return caller in self._admin_ids or self._entries.is_admin(caller)

    def _root_is_trusted(self, svid: VerifiedX509Svid) -> bool:
        domain = svid.id.trust_domain
        bundle = self._bundles.bundle_for(domain)
        if bundle is None:
            return False
        known = self._roots.get(domain.name)
        if known is None or known[0] is not bundle:
            known = (bundle, frozenset(a.der for a in bundle.x509_authorities))
            self._roots[domain.name] = known
        return svid.root_der in known[1]


def _identity(context: ServerContext, verdict: _Verdict) -> Identity:
    info = CallInfo(
        context.correlation_id,
        context.method,
        _name_of(context.caller),
        verdict.kind.value,
        _peer_of(context.caller),
    )
    return Identity(info, verdict.kind, verdict.agent, verdict.promotes, verdict.why)


def _id_of(context: ServerContext) -> str:
    """The SPIFFE ID of who calls, "" for a caller without one."""
    caller = context.caller
    return caller.svid.id.uri if isinstance(caller, TlsCaller) and caller.svid is not None else ""


def _name_of(caller: UnixCaller | TlsCaller) -> object:
    """What a log line calls the caller; made text only when it is printed."""
    if isinstance(caller, UnixCaller):
        return caller
    return caller.address if caller.svid is None else caller.svid.id


def _peer_of(caller: UnixCaller | TlsCaller) -> str:
    """Where a caller that is named by its SVID calls from."""
    return caller.address if isinstance(caller, TlsCaller) and caller.svid is not None else ""


def _refused(kind: CallerKind, method: str, why: str) -> _Verdict:
    return _Verdict(kind, refusal=_denied(method), why=why)


def _denied(
    method: str,
    reason: "PermissionDeniedDetails.Reason.ValueType | None" = None,
) -> StatusError:
    details = () if reason is None else (PermissionDeniedDetails(reason=reason),)
    return StatusError(
        grpc.StatusCode.PERMISSION_DENIED,
        f"authorization denied for method {method}",
        details,
    )


def _superseded() -> StatusError:
    return StatusError(
        grpc.StatusCode.UNAVAILABLE,
        "the agent's certificate was replaced during the call; call again with the new one",
    )


def _untrusted(svid: VerifiedX509Svid) -> StatusError:
    return StatusError(
        grpc.StatusCode.UNAUTHENTICATED,
        f'the authority of the certificate of "{svid.id}" is no longer in the bundle of its '
        "trust domain; get a new certificate",
    )
