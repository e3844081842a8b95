import asyncio
from dataclasses import dataclass

import pytest

from finial.attestors.node.interface import AgentHost, AttestError, AttestReason, ServerHost
from finial.attestors.node.join_token import evidence
from finial.attestors.node.join_token.agent import JoinTokenAgent
from finial.attestors.node.join_token.server import JoinTokenServer
from finial.spiffe.trust_domain import TrustDomain
from tests.fakes.clock import FakeClock

TD = TrustDomain("example.org")


@dataclass(frozen=True)
class Token:
    value: str
    expires_at: int


class Tokens:
    def __init__(self, *tokens: Token) -> None:
        self.stored = {token.value: token for token in tokens}

    async def consume(self, token: str, now: float) -> Token | None:  # noqa: ARG002
        await asyncio.sleep(0)
        return self.stored.pop(token, None)


async def no_challenge(_data: bytes) -> bytes:
    raise AssertionError("join tokens need no challenge")


def judge(clock: FakeClock, *tokens: Token) -> JoinTokenServer:
    return JoinTokenServer(ServerHost(TD, clock, Tokens(*tokens)), {})


async def test_a_token_names_the_agent_and_brings_no_selectors() -> None:
    clock = FakeClock()
    server = judge(clock, Token("abc", int(clock.time()) + 60))
    payload = await JoinTokenAgent(AgentHost(TD, "abc"), {}).payload()
    attested = await server.attest(payload, no_challenge)
    assert attested.agent_id.uri == "spiffe://example.org/spire/agent/join_token/abc"
    assert attested.selectors == ()
    assert not attested.can_reattest


async def test_of_fifty_simultaneous_attempts_one_gets_in() -> None:
    clock = FakeClock()
    server = judge(clock, Token("abc", int(clock.time()) + 60))
    outcomes = await asyncio.gather(
        *(server.attest(b"abc", no_challenge) for _ in range(50)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, AttestError)]
    assert len(refused) == 49
    assert {error.message for error in refused} == {
        "failed to attest: join token does not exist or has already been used"
    }


async def test_an_expired_token_is_refused_and_spent() -> None:
    clock = FakeClock()
    server = judge(clock, Token("abc", int(clock.time())))
    with pytest.raises(AttestError, match=r"^join token expired$"):
        await server.attest(b"abc", no_challenge)
    with pytest.raises(AttestError, match="does not exist"):
        await server.attest(b"abc", no_challenge)


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"x" * 2000, b"unknown"])
async def test_whatever_is_no_stored_token_gets_the_same_answer(payload: bytes) -> None:
    with pytest.raises(AttestError) as caught:
        await judge(FakeClock()).attest(payload, no_challenge)
    assert caught.value.reason is AttestReason.INVALID_EVIDENCE
    assert caught.value.message == (
        "failed to attest: join token does not exist or has already been used"
    )


async def test_a_token_that_fits_no_spiffe_id_is_refused() -> None:
    clock = FakeClock()
    server = judge(clock, Token("a b", int(clock.time()) + 60))
    with pytest.raises(AttestError, match="cannot be part of a SPIFFE ID"):
        await server.attest(b"a b", no_challenge)


async def test_without_a_token_the_agent_says_how_to_get_one() -> None:
    with pytest.raises(AttestError, match="join token was not provided"):
        await JoinTokenAgent(AgentHost(TD), {}).payload()


async def test_a_challenge_is_refused() -> None:
    with pytest.raises(AttestError, match="unexpected challenge"):
        await JoinTokenAgent(AgentHost(TD, "abc"), {}).respond(b"?")


def test_neither_half_takes_settings() -> None:
    with pytest.raises(ValueError, match="'ttl' is set; remove it"):
        JoinTokenAgent(AgentHost(TD), {"ttl": 5})
    with pytest.raises(ValueError, match="'ttl' is set; remove it"):
        JoinTokenServer(ServerHost(TD, FakeClock(), Tokens()), {"ttl": 5})


def test_no_error_repeats_the_evidence() -> None:
    with pytest.raises(evidence.TokenError) as caught:
        evidence.decode(b"secret" * 500)
    assert "secret" not in str(caught.value)


def test_what_an_attestor_is_lent_does_not_print_the_token() -> None:
    assert "s3cret" not in repr(AgentHost(TrustDomain("example.org"), "s3cret"))
