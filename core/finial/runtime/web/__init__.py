"""HTTP/1.1 on h11: a small server for documents, and a client that fetches one.

Belongs here: connections, their bounds and their TLS, requests and responses, paths. The server
answers from memory, so that no request has a task of its own; the client makes one GET and follows
nothing. Does not belong here: any document that is served, and which addresses may be asked.

Within: `limits message routes tls` are common; `connection outcome server` are the server's, with
the doors of `finial.runtime.rpc`; `resolve client` the client's.
"""

from finial.runtime.web.client import Answer, Target, Trust, WebClient, WebError
from finial.runtime.web.limits import ClientLimits, WebLimits
from finial.runtime.web.message import Document, Request, Response
from finial.runtime.web.resolve import SystemResolver
from finial.runtime.web.routes import Routes
from finial.runtime.web.server import WebServer
from finial.runtime.web.tls import WebServerTls

__all__ = [
    "Answer",
    "ClientLimits",
    "Document",
    "Request",
    "Response",
    "Routes",
    "SystemResolver",
    "Target",
    "Trust",
    "WebClient",
    "WebError",
    "WebLimits",
    "WebServer",
    "WebServerTls",
]
