"""What is fuzzed: each function takes any bytes and may raise nothing but an assertion's failure.

`make fuzz` drives them with atheris; `test_corpus.py` replays the kept inputs in `make test`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.targets.certificates import csr, signer_request, x509_chain
from tests.fuzz.targets.documents import (
    bundle_document,
    bundle_map,
    bundle_pem,
    hcl_document,
    jwt_svid,
    spiffe_id,
    wit_svid,
)
from tests.fuzz.targets.messages import request_message, server_answer
from tests.fuzz.targets.web import http1_client, http1_server
from tests.fuzz.targets.wire import http2_client, http2_server

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        spiffe_id,
        bundle_document,
        bundle_map,
        bundle_pem,
        wit_svid,
        jwt_svid,
        csr,
        x509_chain,
        signer_request,
        hcl_document,
        http2_server,
        http2_client,
        http1_server,
        http1_client,
        request_message,
        server_answer,
    )
}
