import pytest

from finial.attestors.node import catalog
from finial.attestors.node.interface import AgentHost, ServerHost
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.clock import FakeClock

TD = TrustDomain("example.org")


class NoTokens:
    async def consume(self, token: str, now: float) -> None:
        raise AssertionError((token, now))


def test_the_built_in_attestors_are_found_by_name() -> None:
    server = catalog.node_attestor_server("join_token", ServerHost(TD, FakeClock(), NoTokens()), {})
    agent = catalog.node_attestor_agent("join_token", AgentHost(TD), {})
    unix = catalog.workload_attestor("unix", {"discover_workload_path": True})
    assert (server.type, agent.type, unix.type) == ("join_token", "join_token", "unix")


def test_an_unknown_attestor_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(catalog.UnknownAttestorError, match=r"no attestor 'docker'.*unix"):
        catalog.workload_attestor("docker", {})
