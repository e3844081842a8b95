"""What is fuzzed: each function takes any bytes and may raise nothing but its own error tree.

`make fuzz` drives them with atheris; `test_corpus.py` replays the kept inputs in `make test`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from finial.runtime.config import ConfigError, parse_document
from finial.spiffe import SpiffeError, SpiffeId, TrustDomain
from finial.spiffe.bundle import Bundle, BundleSet
from finial.spiffe.jwt_svid import validate
from finial.spiffe.x509_svid import verify_chain
from tests.fakes.ca import FakeCa

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000.0
DOMAIN = TrustDomain.parse("example.org")
BUNDLES: BundleSet = FakeCa("example.org", now=NOW).bundles()


def spiffe_id(data: bytes) -> None:
    with contextlib.suppress(SpiffeError):
        uri = data.decode("latin-1")
        assert str(SpiffeId.parse(uri)) == uri, "an accepted ID is written as it was read"


def bundle_document(data: bytes) -> None:
    with contextlib.suppress(SpiffeError):
        Bundle.from_jwks(DOMAIN, data).to_jwks()


def bundle_pem(data: bytes) -> None:
    with contextlib.suppress(SpiffeError):
        Bundle.from_pem(DOMAIN, data)


def jwt_svid(data: bytes) -> None:
    with contextlib.suppress(SpiffeError):
        validate(data.decode("latin-1"), BUNDLES, "audience", NOW)


def x509_chain(data: bytes) -> None:
    with contextlib.suppress(SpiffeError):
        verify_chain([data], BUNDLES, NOW)


def hcl_document(data: bytes) -> None:
    with contextlib.suppress(ConfigError, UnicodeDecodeError):
        parse_document(data.decode(), "fuzzed.conf")


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (spiffe_id, bundle_document, bundle_pem, jwt_svid, x509_chain, hcl_document)
}
