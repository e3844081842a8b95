"""The LocalAuthority service: this server's authorities, moved through their lives by an operator.

Of several servers on one database each answers for its own authorities, as SPIRE's do. SPIRE knows
two slots of each kind, so it can taint only the last authority that was active; here every old
one can be that is still in the bundle. What is shown are SPIRE's two slots.
"""

# The wire names the methods and hands each a context; its messages are alike but for a name.
# ruff: noqa: N802, ARG002

from collections.abc import Awaitable, Mapping
from typing import Any, Final, NoReturn, Protocol, TypeVar

import grpc

from finial.api.spire.server import localauthority_pb2 as wire
from finial.api.spire.server.localauthority_pb2_grpc import LocalAuthorityServicer
from finial.runtime.rpc import StatusError
from finial.server.api.failure import invalid
from finial.server.authority import Authority, AuthorityError, State
from finial.server.authority.rotator import find, shown_old
from finial.server.registry.errors import AuthorityNotThere, RegistryError
from finial.server.signer.errors import SignerError
from finial.server.signer.model import AuthorityKind

_NAMES: Final = {
    AuthorityKind.X509: "X.509",
    AuthorityKind.JWT: "JWT",
    AuthorityKind.WIT: "WIT",
}
_OFF: Final = {
    AuthorityKind.JWT: "JWT functionality is disabled",
    AuthorityKind.WIT: "WIT-SVID functionality is not yet implemented",
}
_X509, _JWT, _WIT = AuthorityKind.X509, AuthorityKind.JWT, AuthorityKind.WIT

T = TypeVar("T")


class LocalAuthorities(Protocol):
    """What is needed of the authority manager."""

    def state(self, kind: AuthorityKind) -> State: ...

    async def prepare(self, kind: AuthorityKind) -> Authority: ...

    async def activate(self, kind: AuthorityKind, authority_id: str) -> Authority: ...

    async def taint(self, kind: AuthorityKind, authority_id: str) -> Authority: ...

    async def revoke(self, kind: AuthorityKind, authority_id: str) -> Authority: ...

    async def revoke_foreign(self, kind: AuthorityKind, authority_id: str) -> None: ...


class _Acts:
    """The five acts, for any kind of authority, in SPIRE's words."""

    def __init__(
        self, authorities: LocalAuthorities, enabled: Mapping[AuthorityKind, bool]
    ) -> None:
        self._authorities = authorities
        self._enabled = enabled

    def shown(self, kind: AuthorityKind) -> dict[str, wire.AuthorityState]:
        """The authorities by their state."""
        state = self._running(kind)
        found = {"active": state.active, "prepared": state.prepared, "old": shown_old(state)}
        return {name: _state(each) for name, each in found.items() if each is not None}

    async def prepare(self, kind: AuthorityKind) -> wire.AuthorityState:
        self._running(kind)
        made = await _done(self._authorities.prepare(kind), f"prepare {_NAMES[kind]} authority")
        return _state(made)

    async def activate(self, kind: AuthorityKind, authority_id: str) -> wire.AuthorityState:
        state = self._known(kind)
        if not authority_id:
            raise invalid("no authority ID provided")
        if _is(shown_old(state), authority_id):
            raise _internal(
                "only Prepared authorities can be activated: "
                "unsupported local authority status: OLD"
            )
        if not _is(state.prepared, authority_id):
            raise invalid("unexpected authority ID")
        act = self._authorities.activate(kind, authority_id)
        return _state(await _done(act, f"activate {_NAMES[kind]} authority"))

    async def taint(self, kind: AuthorityKind, authority_id: str) -> wire.AuthorityState:
        state = self._known(kind)
        if not authority_id:
            raise invalid("no authority ID provided")
        if _is(state.active, authority_id):
            raise invalid("unable to taint current local authority")
        if _is(state.prepared, authority_id):
            raise invalid(
                "only Old local authorities can be tainted: "
                "unsupported local authority status: PREPARED"
            )
        act = self._authorities.taint(kind, authority_id)
        done = await _done(act, f"taint {_NAMES[kind]} authority")
        # SPIRE tells the end of an X.509 authority, and not that of a key.
        return _state(done) if kind is _X509 else wire.AuthorityState(authority_id=done.id)

    async def revoke(self, kind: AuthorityKind, authority_id: str) -> wire.AuthorityState:
        state = self._known(kind)
        found = find(state, authority_id)
        if not authority_id:
            _refuse_id("no authority ID provided")
        if _is(state.active, authority_id):
            _refuse_id("unable to use current authority")
        if kind is _X509 and (found is None or found is state.prepared):
            _refuse_id("only Old local authority can be revoked")
        if found is not None and found is state.prepared:
            _refuse_id("unable to use a prepared key")
        what = f"revoke {_NAMES[kind]} authority"
        if found is None:
            await _done(self._revoke_foreign(kind, authority_id), what)
        else:
            await _done(self._authorities.revoke(kind, authority_id), what)
        return wire.AuthorityState(authority_id=authority_id)

    async def _revoke_foreign(self, kind: AuthorityKind, authority_id: str) -> None:
        """Keys of other servers are in the bundle, too: of downstream ones, and of peers."""
        try:
            await self._authorities.revoke_foreign(kind, authority_id)
        except AuthorityNotThere:
            _refuse_id(f"no {_NAMES[kind]} authority found with provided authority ID")

    def _known(self, kind: AuthorityKind) -> State:
        if not self._enabled.get(kind, True):
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, _OFF[kind])
        return self._authorities.state(kind)

    def _running(self, kind: AuthorityKind) -> State:
        state = self._known(kind)
        if state.active is None:
            raise StatusError(grpc.StatusCode.UNAVAILABLE, "server is initializing")
        return state


class LocalAuthorityService(LocalAuthorityServicer):
    """Every method of the wire, told to `_Acts`. There is no authority above this server."""

    def __init__(
        self, *, authorities: LocalAuthorities, jwt_enabled: bool, wit_enabled: bool
    ) -> None:
        self._acts = _Acts(authorities, {_JWT: jwt_enabled, _WIT: wit_enabled})

    def GetX509AuthorityState(
        self, request: wire.GetX509AuthorityStateRequest, context: Any
    ) -> wire.GetX509AuthorityStateResponse:
        return wire.GetX509AuthorityStateResponse(**self._acts.shown(_X509))

    async def PrepareX509Authority(
        self, request: wire.PrepareX509AuthorityRequest, context: Any
    ) -> wire.PrepareX509AuthorityResponse:
        done = await self._acts.prepare(_X509)
        return wire.PrepareX509AuthorityResponse(prepared_authority=done)

    async def ActivateX509Authority(
        self, request: wire.ActivateX509AuthorityRequest, context: Any
    ) -> wire.ActivateX509AuthorityResponse:
        done = await self._acts.activate(_X509, request.authority_id)
        return wire.ActivateX509AuthorityResponse(activated_authority=done)

    async def TaintX509Authority(
        self, request: wire.TaintX509AuthorityRequest, context: Any
    ) -> wire.TaintX509AuthorityResponse:
        done = await self._acts.taint(_X509, request.authority_id)
        return wire.TaintX509AuthorityResponse(tainted_authority=done)

    async def RevokeX509Authority(
        self, request: wire.RevokeX509AuthorityRequest, context: Any
    ) -> wire.RevokeX509AuthorityResponse:
        done = await self._acts.revoke(_X509, request.authority_id)
        return wire.RevokeX509AuthorityResponse(revoked_authority=done)

    def TaintX509UpstreamAuthority(
        self, request: wire.TaintX509UpstreamAuthorityRequest, context: Any
    ) -> wire.TaintX509UpstreamAuthorityResponse:
        raise _no_upstream()

    def RevokeX509UpstreamAuthority(
        self, request: wire.RevokeX509UpstreamAuthorityRequest, context: Any
    ) -> wire.RevokeX509UpstreamAuthorityResponse:
        raise _no_upstream()

    def GetJWTAuthorityState(
        self, request: wire.GetJWTAuthorityStateRequest, context: Any
    ) -> wire.GetJWTAuthorityStateResponse:
        return wire.GetJWTAuthorityStateResponse(**self._acts.shown(_JWT))

    async def PrepareJWTAuthority(
        self, request: wire.PrepareJWTAuthorityRequest, context: Any
    ) -> wire.PrepareJWTAuthorityResponse:
        done = await self._acts.prepare(_JWT)
        return wire.PrepareJWTAuthorityResponse(prepared_authority=done)

    async def ActivateJWTAuthority(
        self, request: wire.ActivateJWTAuthorityRequest, context: Any
    ) -> wire.ActivateJWTAuthorityResponse:
        done = await self._acts.activate(_JWT, request.authority_id)
        return wire.ActivateJWTAuthorityResponse(activated_authority=done)

    async def TaintJWTAuthority(
        self, request: wire.TaintJWTAuthorityRequest, context: Any
    ) -> wire.TaintJWTAuthorityResponse:
        done = await self._acts.taint(_JWT, request.authority_id)
        return wire.TaintJWTAuthorityResponse(tainted_authority=done)

    async def RevokeJWTAuthority(
        self, request: wire.RevokeJWTAuthorityRequest, context: Any
    ) -> wire.RevokeJWTAuthorityResponse:
        done = await self._acts.revoke(_JWT, request.authority_id)
        return wire.RevokeJWTAuthorityResponse(revoked_authority=done)

    def GetWITAuthorityState(
        self, request: wire.GetWITAuthorityStateRequest, context: Any
    ) -> wire.GetWITAuthorityStateResponse:
        return wire.GetWITAuthorityStateResponse(**self._acts.shown(_WIT))

    async def PrepareWITAuthority(
        self, request: wire.PrepareWITAuthorityRequest, context: Any
    ) -> wire.PrepareWITAuthorityResponse:
        done = await self._acts.prepare(_WIT)
        return wire.PrepareWITAuthorityResponse(prepared_authority=done)

    async def ActivateWITAuthority(
        self, request: wire.ActivateWITAuthorityRequest, context: Any
    ) -> wire.ActivateWITAuthorityResponse:
        done = await self._acts.activate(_WIT, request.authority_id)
        return wire.ActivateWITAuthorityResponse(activated_authority=done)

    async def TaintWITAuthority(
        self, request: wire.TaintWITAuthorityRequest, context: Any
    ) -> wire.TaintWITAuthorityResponse:
        done = await self._acts.taint(_WIT, request.authority_id)
        return wire.TaintWITAuthorityResponse(tainted_authority=done)

    async def RevokeWITAuthority(
        self, request: wire.RevokeWITAuthorityRequest, context: Any
    ) -> wire.RevokeWITAuthorityResponse:
        done = await self._acts.revoke(_WIT, request.authority_id)
        return wire.RevokeWITAuthorityResponse(revoked_authority=done)


async def _done(act: Awaitable[T], what: str) -> T:
    """The act's outcome; its refusals are the caller's fault only when the state has changed."""
    try:
        return await act
    except AuthorityError as error:
        raise invalid(str(error)) from None
    except (RegistryError, SignerError) as error:
        raise _internal(f"failed to {what}: {error}") from None


def _state(authority: Authority) -> wire.AuthorityState:
    return wire.AuthorityState(authority_id=authority.id, expires_at=authority.not_after)


def _is(authority: Authority | None, authority_id: str) -> bool:
    return authority is not None and authority.id == authority_id


def _refuse_id(why: str) -> NoReturn:
    raise invalid(f"invalid authority ID: {why}")


def _internal(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.INTERNAL, message)


def _no_upstream() -> StatusError:
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, "upstream authority is not configured")
