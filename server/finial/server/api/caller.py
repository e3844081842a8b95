"""What handlers ask the gate's finding for."""

import grpc

from finial.runtime.rpc import ServerContext, StatusError, TlsCaller
from finial.server.api.gate import Identity
from finial.server.registry.model import Agent
from finial.spiffe.x509_svid import VerifiedX509Svid


def agent_of(context: ServerContext) -> Agent:
    """The agent that calls, as the gate found it.

    Raises:
        StatusError: PermissionDenied: the gate let somebody else through; the handler of an
            agent's method serves agents, whatever the table says.
    """
    return _identity_of(context)[0]


def serial_of(context: ServerContext) -> str:
    """The serial number of the certificate that the agent calls with; raises as `agent_of`."""
    agent, promotes = _identity_of(context)
    return promotes or agent.serial_number


def svid_of(context: ServerContext) -> VerifiedX509Svid:
    """The SVID that the caller has proven; raises as `agent_of` when there is none."""
    caller = context.caller
    if isinstance(caller, TlsCaller) and caller.svid is not None:
        return caller.svid
    raise _denied(context)


def _identity_of(context: ServerContext) -> tuple[Agent, str]:
    identity = context.identity
    if isinstance(identity, Identity) and identity.agent is not None:
        return identity.agent, identity.promotes
    raise _denied(context)


def _denied(context: ServerContext) -> StatusError:
    return StatusError(
        grpc.StatusCode.PERMISSION_DENIED,
        f"authorization denied for method {context.method}",
    )
