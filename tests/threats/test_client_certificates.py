"""Certificates that prove nothing: none is let in, and only our side hears why.

Every forger has an agent's record with the serial number of its certificate, so that nothing but
the certificate itself stands in its way.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from finial.api.spire.server import agent_pb2, bundle_pb2
from finial.api.spire.server.agent_pb2_grpc import AgentStub
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.runtime.rpc import Channel, RpcError
from finial.server.registry.model import Agent
from finial.spiffe.spiffe_id import SpiffeId
from finial.spiffe.x509_svid import X509Svid
from tests.fakes.ca import FakeCa
from tests.fakes.server_api import ApiLab
from tests.fakes.waiting import eventually
from tests.threats.conftest import Told

AGENT = "spiffe://example.org/spire/agent/join_token/one"
OTHER = FakeCa("other.org")
"""The authority of a domain that the server knows, and federates with."""

Forge = Callable[[ApiLab], X509Svid]


def issued(**defects: Any) -> Forge:
    return lambda lab: lab.ca.issue(AGENT, **defects)


def in_time(**moments: float) -> Forge:
    """Times relative to the server's clock."""

    def forge(lab: ApiLab) -> X509Svid:
        times: dict[str, Any] = {name: lab.clock.time() + at for name, at in moments.items()}
        return lab.ca.issue(AGENT, **times)

    return forge


def of_another_domain(_: ApiLab) -> X509Svid:
    return FakeCa("third.org").issue("spiffe://third.org/spire/agent/join_token/one")


def by_another_domains_authority(_: ApiLab) -> X509Svid:
    return OTHER.issue(AGENT)


def by_an_authority_that_is_not_in_the_bundle(_: ApiLab) -> X509Svid:
    return FakeCa("example.org").issue(AGENT)


def by_a_namesake_of_the_authority(lab: ApiLab) -> X509Svid:
    """Same name and key identifier as the true one's: only the key differs."""
    stranger = ec.generate_private_key(ec.SECP256R1())
    return lab.ca.issue(AGENT, signing_key=stranger)


def by_an_svid(lab: ApiLab) -> X509Svid:
    holder = lab.ca.issue("spiffe://example.org/web")
    leaf = x509.load_der_x509_certificate(holder.chain[0])
    key = _key(holder)
    forged = lab.ca.issue(AGENT, signing_key=key, issuer_name=leaf.subject, authority_key_id=None)
    return replace(forged, chain=(*forged.chain, *holder.chain))


def by_itself(lab: ApiLab) -> X509Svid:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self")])
    return lab.ca.issue(
        AGENT, key=key, signing_key=key, subject=name, issuer_name=name, authority_key_id=None
    )


def with_too_long_a_chain(lab: ApiLab) -> X509Svid:
    honest = lab.ca.issue(AGENT)
    return replace(honest, chain=honest.chain + (FakeCa().der,) * 10)


def _key(svid: X509Svid) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(svid.key_pkcs8, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


MAY_SIGN = frozenset({"digital_signature", "key_cert_sign"})
MAY_REVOKE = frozenset({"digital_signature", "crl_sign"})
SERVERS_ONLY = [ExtendedKeyUsageOID.SERVER_AUTH]

FORGERIES: dict[str, tuple[Forge, str]] = {
    "another domain's": (of_another_domain, "verify failed"),
    "another domain's authority": (by_another_domains_authority, "unknown authority"),
    "an authority outside the bundle": (
        by_an_authority_that_is_not_in_the_bundle,
        "verify failed",
    ),
    "a namesake of the authority": (by_a_namesake_of_the_authority, "verify failed"),
    "an SVID as authority": (by_an_svid, "verify failed"),
    "self-signed": (by_itself, "verify failed"),
    "a broken signature": (issued(broken_signature=True), "verify failed"),
    "expired": (in_time(not_before=-100, not_after=-1), "expired"),
    "not yet valid": (in_time(not_before=60), "not yet valid"),
    "a CA": (issued(ca=True), "is a CA"),
    "may sign certificates": (issued(key_usage=MAY_SIGN), "may sign certificates"),
    "may sign CRLs": (issued(key_usage=MAY_REVOKE), "may sign CRLs"),
    "for servers only": (issued(extended_key_usage=SERVERS_ONLY), "verify failed"),
    "no URI": (issued(uris=[], dns_names=["one.example.org"]), "no URI SAN"),
    "two URIs": (issued(uris=[AGENT, AGENT + "2"]), "more than one URI SAN"),
    "an URI that is no SPIFFE ID": (issued(uris=["https://example.org/x"]), "invalid SPIFFE ID"),
    "the trust domain's own ID": (issued(uris=["spiffe://example.org"]), "own ID"),
    "a chain that is too long": (with_too_long_a_chain, "more than 10 certificates"),
}


async def enrol(lab: ApiLab, svid: X509Svid) -> None:
    """Give the agent a record that would let it in."""
    record = Agent(
        id=SpiffeId(AGENT),
        attestation_type="join_token",
        serial_number=str(svid.serial),
        expires_at=int(lab.clock.time()) + 3600,
    )
    await lab.agents.upsert_attested(record)
    await lab.reader.caught_up()


async def call_as_agent(channel: Channel) -> None:
    await AgentStub(channel).PostStatus(agent_pb2.PostStatusRequest(agent_version="1"))


async def test_the_honest_certificate_is_let_in(lab: ApiLab) -> None:
    honest = lab.ca.issue(AGENT)
    await enrol(lab, honest)
    await call_as_agent(lab.connect(honest))


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_certificate_that_proves_nothing_gets_no_service(
    lab: ApiLab, told: Told, name: str
) -> None:
    await lab.bundles.put(OTHER.bundle())
    await lab.reader.caught_up()
    forge, reason = FORGERIES[name]
    forged = forge(lab)
    await enrol(lab, forged)
    for _ in range(2):
        channel = lab.connect(forged)
        for call in (call_as_agent(channel), read_bundle(channel)):
            with pytest.raises(RpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert not re.search(reason, refused.value.details() or "")
    await eventually(lambda: told("connections refused"))
    line = told("connections refused")[0]
    assert line["caller"] == "127.0.0.1"
    assert line["reason"] in {"certificate refused", "TLS handshake failed"}
    assert re.search(reason, line["error"]), line
    assert not told("call finished")


async def read_bundle(channel: Channel) -> None:
    """What is open to anybody is not open to who shows false papers."""
    await BundleStub(channel).GetBundle(bundle_pb2.GetBundleRequest())
