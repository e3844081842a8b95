"""Our server and SPIRE's federate with each other: each serves its bundle and fetches the other's.

What is read and set is done with SPIRE's command line on both.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from finial.api.spire.server import bundle_pb2
from finial.api.spire.server.bundle_pb2_grpc import BundleStub
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel
from finial.server.api.bundle_codec import encode_bundle
from tests.fakes.ca import FakeCa
from tests.fakes.web_pki import WebPki, write_pair
from tests.interop.programs import FINIAL, Family, Outcome, run
from tests.interop.site import Daemon, free_port, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from finial.api.spire import types_pb2

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

SERVED = ("https_spiffe", "https_web")
PROFILES = {
    "https_spiffe": 'profile "https_spiffe" {{}}',
    "https_web": (
        'profile "https_web" {{ serving_cert_file {{ cert_file_path = "{folder}/chain.pem" '
        'key_file_path = "{folder}/key.pem" file_sync_interval = "1h" }} }}'
    ),
}
CONF = """
server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{folder}/server.sock"
  trust_domain = "{domain}"
  data_dir = "{folder}/data"
  log_level = "DEBUG"
  federation {{
    bundle_endpoint {{
      address = "127.0.0.1"
      port = {endpoint}
      refresh_hint = "10s"
      {profile}
    }}
    {relationships}
    {more}
  }}
}}
plugins {{
  DataStore "sql" {{
    plugin_data {{
      database_type = "sqlite3"
      connection_string = "{folder}/data/datastore.sqlite3"
    }}
  }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  KeyManager "memory" {{ plugin_data {{}} }}
}}
"""
LOOPBACK = 'allowed_addresses = ["127.0.0.0/8", "::1/128"]'


@dataclass
class Server:
    """A server of either family with a bundle endpoint."""

    family: Family
    commands: Family
    domain: str
    folder: Path
    profile: str
    endpoint: int
    daemon: Daemon

    @classmethod
    def of(cls, family: Family, peers: Family, folder: Path, profile: str) -> Server:
        place = folder / family.name
        (place / "data").mkdir(parents=True)
        words = ("env", f"SSL_CERT_FILE={folder}/roots.pem", *family.server, "run")
        daemon = Daemon(place / "server.log", *words, "-config", str(place / "server.conf"))
        return cls(family, peers, f"{family.name}.test", place, profile, free_port(), daemon)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.endpoint}/"

    @property
    def endpoint_id(self) -> str:
        return f"spiffe://{self.domain}/spire/server"

    def block(self) -> str:
        """What another's configuration says of this one."""
        profile = (
            f'"https_spiffe" {{ endpoint_spiffe_id = "{self.endpoint_id}" }}'
            if self.profile == "https_spiffe"
            else '"https_web" {}'
        )
        return (
            f'federates_with "{self.domain}" {{ bundle_endpoint_url = "{self.url}" '
            f"bundle_endpoint_profile {profile} }}"
        )

    async def start(self, *relationships: str) -> None:
        text = CONF.format(
            folder=self.folder,
            port=free_port(),
            domain=self.domain,
            endpoint=self.endpoint,
            profile=PROFILES[self.profile].format(folder=self.folder),
            relationships="\n    ".join(relationships),
            more=LOOPBACK if self.family is FINIAL else "",
        )
        (self.folder / "server.conf").write_text(text)
        await self.daemon.start()

        async def well() -> Outcome:
            assert self.daemon.code is None, self.daemon.log()
            return await self.command("healthcheck")

        await until(well, lambda said: said.code == 0)

    async def command(self, *words: str, stdin: str = "") -> Outcome:
        """One of SPIRE's commands on the admin socket."""
        path = str(self.folder / "server.sock")
        return await run(*self.commands.server, *words, "-socketPath", path, stdin=stdin)

    async def done(self, *words: str, stdin: str = "") -> Outcome:
        outcome = await self.command(*words, stdin=stdin)
        assert outcome.code == 0, outcome
        return outcome

    async def document(self) -> str:
        """Its own bundle."""
        return (await self.done("bundle", "show", "-format", "spiffe")).out

    async def held(self, other: Server) -> set[str]:
        """The certificates that it holds of another's trust domain."""
        words = ("bundle", "list", "-id", f"spiffe://{other.domain}", "-output", "json")
        outcome = await self.command(*words)
        return _roots(json.loads(outcome.out)) if outcome.code == 0 else set()

    async def own(self) -> set[str]:
        words = ("bundle", "show", "-output", "json")
        return _roots(json.loads((await self.done(*words)).out))

    async def append(self) -> None:
        """Let its own bundle have one more authority."""
        new: types_pb2.Bundle = encode_bundle(FakeCa(self.domain, now=time.time()).bundle(), ())
        channel = Channel(f"unix:{self.folder}/server.sock", clock=SystemClock())
        try:
            await BundleStub(channel).AppendBundle(
                bundle_pb2.AppendBundleRequest(x509_authorities=new.x509_authorities)
            )
        finally:
            await channel.close()

    async def hears_of(self, other: Server) -> None:
        """Wait until it holds what the other has, which nobody but its endpoint has told it."""
        wanted = await other.own()
        try:
            await until(lambda: self.held(other), lambda found: found == wanted)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.daemon.log()}") from None


def _roots(bundle: Any) -> set[str]:
    return {each["asn1"] for each in bundle["x509_authorities"]}


@dataclass
class Pair:
    """The two servers, not started yet."""

    ours: Server
    theirs: Server

    async def introduce(self) -> None:
        """Give each the other's first bundle by hand, where its endpoint is proven by that."""
        for one, other in ((self.ours, self.theirs), (self.theirs, self.ours)):
            words = ("bundle", "set", "-id", f"spiffe://{other.domain}", "-format", "spiffe")
            await one.done(*words, stdin=await other.document())

    async def agree(self) -> None:
        await self.ours.hears_of(self.theirs)
        # SPIRE asks four times as often as it is told to, but never more often than each 15 s.
        refresh = ("federation", "refresh", "-id", self.ours.domain)
        await until(lambda: self.theirs.command(*refresh), lambda said: said.code == 0)
        await self.theirs.hears_of(self.ours)


@pytest.fixture(params=SERVED)
async def pair(request: pytest.FixtureRequest, peers: Family, folder: Path) -> AsyncIterator[Pair]:
    pki = WebPki()
    pki.trusted(folder)
    made = Pair(*(Server.of(each, peers, folder, request.param) for each in (FINIAL, peers)))
    for server in (made.ours, made.theirs):
        write_pair(pki.issue("localhost"), server.folder / "chain.pem", server.folder / "key.pem")
    yield made
    for server in (made.ours, made.theirs):
        await server.daemon.clear()


async def test_each_has_the_others_bundle_and_hears_of_what_is_new_in_it(pair: Pair) -> None:
    await pair.ours.start(pair.theirs.block())
    await pair.theirs.start(pair.ours.block())
    if pair.ours.profile == "https_spiffe":
        await pair.introduce()
    await pair.agree()
    for server in (pair.ours, pair.theirs):
        await server.append()
        assert len(await server.own()) == 2
    await pair.agree()


async def test_a_relationship_made_by_command_works_as_a_configured_one(pair: Pair) -> None:
    await pair.ours.start()
    await pair.theirs.start()
    for one, other in ((pair.ours, pair.theirs), (pair.theirs, pair.ours)):
        words = ["federation", "create", "-trustDomain", other.domain]
        words += ["-bundleEndpointURL", other.url, "-bundleEndpointProfile", other.profile]
        if other.profile == "https_spiffe":
            path = one.folder / "other.json"
            path.write_text(await other.document())
            words += ["-endpointSpiffeID", other.endpoint_id]
            words += ["-trustDomainBundlePath", str(path), "-trustDomainBundleFormat", "spiffe"]
        await one.done(*words)
    await pair.agree()
    await pair.theirs.append()
    await pair.ours.done("federation", "refresh", "-id", pair.theirs.domain)
    assert await pair.ours.held(pair.theirs) == await pair.theirs.own()
    await pair.ours.append()
    await pair.agree()


@contextlib.contextmanager
def mute() -> Iterator[int]:
    """A port on which connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("pair", ["https_spiffe"], indirect=True)
async def test_a_peer_that_is_dead_or_mute_delays_nobody(pair: Pair) -> None:
    with mute() as port:
        lost = [
            f'federates_with "{name}.test" {{ bundle_endpoint_url = "https://localhost:{each}/" '
            'bundle_endpoint_profile "https_web" {} }'
            for name, each in (("mute", port), ("dead", free_port()))
        ]
        await pair.ours.start(*lost, pair.theirs.block())
        await pair.theirs.start(pair.ours.block())
        await pair.introduce()
        await pair.agree()
        await pair.theirs.append()
        await pair.ours.hears_of(pair.theirs)
    assert "dead.test" in pair.ours.daemon.log()
