"""Rows FED-*, as far as they bind whoever serves a bundle endpoint."""

from tests.conformance.removal import Removal

CERTIFICATES = "server/finial/server/federation/certificates.py"
ENDPOINT = "server/finial/server/federation/endpoint.py"
MESSAGE = "core/finial/runtime/web/message.py"
ROUTES = "core/finial/runtime/web/routes.py"
RPC_TLS = "core/finial/runtime/rpc/tls.py"
TLS = "core/finial/runtime/web/tls.py"
WRITING = "core/finial/spiffe/bundle/writing.py"

REMOVALS: dict[str, tuple[Removal, ...]] = {
    "FED-10": (
        Removal(TLS, "    context.set_ciphers(CIPHERS)\n", ""),
        Removal(TLS, "= ssl.TLSVersion.TLSv1_2", "= ssl.TLSVersion.MINIMUM_SUPPORTED"),
    ),
    "FED-16": (Removal(CERTIFICATES, "if not _names_host(found[0]):", "if False:"),),
    "FED-17": (
        Removal(
            TLS,
            "    context.num_tickets = 0\n",
            "    context.num_tickets = 0\n    context.verify_mode = ssl.CERT_REQUIRED\n",
        ),
        Removal(
            ENDPOINT,
            "        bundle = self._bundles.bundle_for(self._own)\n",
            '        if "authorization" not in request.headers:\n'
            '            return Response.refusal(401, "who are you?")\n'
            "        bundle = self._bundles.bundle_for(self._own)\n",
        ),
    ),
    "FED-18": (
        Removal(
            ENDPOINT,
            "if self._document is None or self._written_of is not bundle:",
            "if self._document is None:",
        ),
    ),
    "FED-19": (
        Removal(MESSAGE, "content_type: str = JSON", "content_type: str = TEXT"),
        Removal(
            WRITING,
            "return json.dumps(document, indent=_INDENT).encode()",
            'return json.dumps(document, indent=_INDENT).encode("utf-16")',
        ),
    ),
    "FED-21": (
        Removal(
            ROUTES,
            'return Response.refusal(404, "404 page not found")',
            'return Response.refusal(301, "moved", ("Location", "/"))',
        ),
    ),
    "FED-29": (
        Removal(RPC_TLS, "for der in identity.chain_der)", "for der in identity.chain_der[:1])"),
        Removal(
            TLS,
            "if self._context is None or self._made_of is not identity:",
            "if self._context is None:",
        ),
    ),
}
