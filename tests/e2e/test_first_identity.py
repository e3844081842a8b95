"""From nothing to an identity: both programs, an operator, and clients that nobody here wrote."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.fakes.daemon import run_program
from tests.fakes.foreign_client import interpreter, run_foreign
from tests.fakes.grpcio import workload
from tests.fakes.lab import Lab, server_lab, whole_lab

if TYPE_CHECKING:
    from pathlib import Path

# Making the client's environment may take a while, once.
pytestmark = pytest.mark.timeout(360)

FETCH = """
import json
from spiffe import JwtSvid, WorkloadApiClient
with WorkloadApiClient() as client:
    svid = client.fetch_x509_svid()
    bundle = client.fetch_x509_bundles().get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
    [authority] = bundle.x509_authorities
    svid.leaf.verify_directly_issued_by(authority)
    assert svid.private_key.public_key() == svid.leaf.public_key()
    token = client.fetch_jwt_svid(audience={"reader"})
    checked = client.validate_jwt_svid(token.token, "reader")
    keys = client.fetch_jwt_bundles().get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)
    own = JwtSvid.parse_and_validate(token.token, keys, {"reader"})
    print(json.dumps([str(svid.spiffe_id), str(checked.spiffe_id), str(own.spiffe_id)]))
"""
WATCH = """
import json, threading, time
from spiffe import X509Source
seen, look = [], threading.Event()
with X509Source(timeout_in_seconds=30) as source:
    deadline = time.monotonic() + 30
    while len(seen) < 2 and time.monotonic() < deadline:
        leaf = source.svid.leaf
        assert leaf.not_valid_after_utc.timestamp() > time.time(), "expired"
        if leaf.serial_number not in seen:
            seen.append(leaf.serial_number)
        look.wait(0.05)
print(json.dumps(len(seen)))
"""


async def test_a_foreign_client_gets_and_validates_both_kinds_of_svid() -> None:
    await asyncio.to_thread(interpreter)
    async with server_lab() as lab:
        await as_an_operator_does(lab)
        (names,) = await run_foreign(FETCH, lab.agent.socket)
        assert names == ["spiffe://example.org/db"] * 3


async def as_an_operator_does(lab: Lab) -> None:
    """Only the commands: bundle, token, agent, entry."""
    shown = await lab.admin("bundle show")
    lab.bundle_file.write_text(shown.out)
    made = (await lab.admin("token generate", "-output", "json")).json
    await lab.agent.start("-joinToken", made["value"])
    parent = f"spiffe://example.org/spire/agent/join_token/{made['value']}"
    entry = await lab.admin(
        *("entry create", "-parentID", parent, "-selector", f"unix:uid:{os.geteuid()}"),
        *("-spiffeID", "spiffe://example.org/db"),
    )
    assert entry.code == 0, entry.err
    await lab.serving("/db")


async def test_a_foreign_client_holds_a_fresh_svid_at_all_times() -> None:
    await asyncio.to_thread(interpreter)
    async with whole_lab(x509_ttl="10s", agent_ttl="1h") as lab:
        assert await run_foreign(WATCH, lab.agent.socket) == [2]


async def test_a_stream_gets_each_svid_before_the_last_one_expires() -> None:
    async with (
        whole_lab(x509_ttl="6s", agent_ttl="6s") as lab,
        workload(lab.agent.socket) as client,
    ):
        stream = client.stream("FetchX509SVID")
        expires = leaf_of(await stream.read()).not_valid_after_utc.timestamp()
        for _ in range(2):
            leaf = leaf_of(await stream.read())
            assert time.time() < expires
            expires = leaf.not_valid_after_utc.timestamp()


def leaf_of(response: object) -> x509.Certificate:
    return x509.load_der_x509_certificate(response.svids[0].x509_svid)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `svid.0.pem`, `svid.0.key` and `bundle.0.pem`, as the command writes them."""
    folder = tmp_path_factory.mktemp("written")
    asyncio.run(fetch_into(folder))
    return folder


async def fetch_into(folder: Path) -> None:
    async with whole_lab() as lab:
        fetched = await run_program(
            *("agent", "api", "fetch", "x509", "-socketPath", str(lab.agent.socket)),
            *("-write", str(folder)),
        )
    assert fetched.code == 0, fetched.err


def openssl(folder: Path, *words: str) -> str:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: run `apt-get install openssl`")
    done = subprocess.run(
        ["openssl", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines_of(folder: Path, certificate: str) -> tuple[set[str], dict[str, str]]:
    """What openssl has to say of a certificate: its lines, and the next one for each."""
    text = openssl(folder, "x509", "-in", certificate, "-noout", "-text")
    shown = [line.strip() for line in text.splitlines()]
    return set(shown), dict(pairwise(shown))


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_verifies_the_chain(written: Path, purpose: str) -> None:
    strictly = ("-x509_strict", "-purpose", purpose, "-CAfile", "bundle.0.pem")
    assert openssl(written, "verify", *strictly, "svid.0.pem") == "svid.0.pem: OK\n"


def test_openssl_shows_the_profile_of_an_svid(written: Path) -> None:
    lines, after = lines_of(written, "svid.0.pem")
    assert "Signature Algorithm: ecdsa-with-SHA256" in lines
    assert after["X509v3 Subject Alternative Name:"] == "URI:spiffe://example.org/db"
    usage = "Digital Signature, Key Encipherment, Key Agreement"
    assert after["X509v3 Key Usage: critical"] == usage
    assert after["X509v3 Basic Constraints: critical"] == "CA:FALSE"
    extended = "TLS Web Server Authentication, TLS Web Client Authentication"
    assert after["X509v3 Extended Key Usage:"] == extended


def test_openssl_shows_the_profile_of_the_authority(written: Path) -> None:
    _, after = lines_of(written, "bundle.0.pem")
    assert after["X509v3 Key Usage: critical"] == "Certificate Sign, CRL Sign"
    assert after["X509v3 Basic Constraints: critical"] == "CA:TRUE"
    assert after["X509v3 Subject Alternative Name:"] == "URI:spiffe://example.org"


def test_openssl_finds_the_key_to_be_the_svids_own(written: Path) -> None:
    of_certificate = openssl(written, "x509", "-in", "svid.0.pem", "-noout", "-pubkey")
    assert of_certificate == openssl(written, "pkey", "-in", "svid.0.key", "-pubout")
