"""gRPC on HTTP/2, by us: servers and clients over Unix sockets and TLS.

Belongs here: connections, calls, statuses, metadata, deadlines, flow control, who the peer is.
grpcio's generated servicers and stubs are used unchanged; its own transport is not.

Does not belong here: which caller may call what (a `CallGate` of the server's), which bundle is
trusted (given to `ServerTls` and `ClientTls`), and any service.

Within: `status metadata deadline framing hpack settings floods request intake sender engine` are
free of I/O; `stream connection timers limits` are common to both sides; `accept call context
refusal push method gate callers sockets admission doors server` are the server's, `dial
client_stream client_call channel` the client's; `tls` has both halves of TLS, `shapes` what type
checkers must see.
"""

from finial.runtime.rpc.admission import network_of
from finial.runtime.rpc.callers import Caller, TlsCaller, UnixCaller
from finial.runtime.rpc.channel import Channel
from finial.runtime.rpc.context import ServerContext
from finial.runtime.rpc.gate import CallGate, OpenGate
from finial.runtime.rpc.limits import Limits
from finial.runtime.rpc.push import PushStream
from finial.runtime.rpc.server import Server
from finial.runtime.rpc.sockets import SocketInUseError, raise_descriptor_limit
from finial.runtime.rpc.status import RpcError, StatusError
from finial.runtime.rpc.tls import ClientTls, ServerTls, TlsIdentity

__all__ = [
    "CallGate",
    "Caller",
    "Channel",
    "ClientTls",
    "Limits",
    "OpenGate",
    "PushStream",
    "RpcError",
    "Server",
    "ServerContext",
    "ServerTls",
    "SocketInUseError",
    "StatusError",
    "TlsCaller",
    "TlsIdentity",
    "UnixCaller",
    "network_of",
    "raise_descriptor_limit",
]
