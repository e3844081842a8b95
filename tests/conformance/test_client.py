"""The rows of the checklist that bind clients, held by our own command lines."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from finial.agent.cli import endpoint
from finial.agent.cli.main import PROGRAM
from finial.agent.cli.watch import watch_by
from finial.agent.cli.workload import SOCKET_FLAGS, WORKLOAD_SOCKET
from finial.api.workload import workload_pb2 as pb
from finial.runtime.cli.client import Call
from finial.runtime.cli.console import Console
from finial.runtime.cli.flags import Values, parse
from finial.runtime.clock import SystemClock
from finial.runtime.rpc import Channel
from tests.fakes.background import served
from tests.fakes.clock import FakeClock
from tests.fakes.program import Outcome, invoke
from tests.fakes.waiting import eventually
from tests.fakes.workload_api import FakeWorkloadApi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

COMMANDS = [
    "api fetch",
    "api fetch x509",
    "api fetch jwt -audience a",
    "api validate jwt -audience a -svid a.b.c",
]
CODES = grpc.StatusCode
OLD, NEW = "spiffe://example.org/old", "spiffe://example.org/new"


@pytest.fixture
def api() -> FakeWorkloadApi:
    return FakeWorkloadApi()


@pytest.fixture
def socket(api: FakeWorkloadApi, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "api.sock"
    with served(path, api.add_to):
        yield path


def run(socket: Path, line: str) -> Outcome:
    env = {"SPIFFE_ENDPOINT_SOCKET": f"unix://{socket}"}
    return invoke(PROGRAM, *line.split(), env=env)


class NoJitter:
    """Pauses of exactly the planned length."""

    def uniform(self, a: float, b: float, /) -> float:
        return (a + b) / 2


class Watching:
    """`api watch` in this process, on a clock of the test's."""

    def __init__(self, api: FakeWorkloadApi, channel: Channel) -> None:
        self.api = api
        self.clock = FakeClock()
        self.out, self.err = io.StringIO(), io.StringIO()
        console = Console(io.StringIO(), self.out, self.err, {})
        call = Call(Values({}, frozenset()), console, channel, str)
        self.task = asyncio.create_task(watch_by(call, self.clock, NoJitter()))

    async def idle(self) -> bool:
        """Wait until it has ended, or put off the next call; return whether it goes on."""
        await eventually(lambda: self.task.done() or self.clock.sleepers)
        return not self.task.done()

    async def messages(self, count: int) -> list[str]:
        """Wait for so many to be shown, and return them; there must be no pause before them."""

        def shown() -> list[str]:
            return self.out.getvalue().split("Received ")[1:]

        await eventually(lambda: len(shown()) >= count or self.task.done() or self.clock.sleepers)
        assert len(shown()) >= count, self.err.getvalue()
        return shown()


@pytest.fixture
async def watching(api: FakeWorkloadApi, socket: Path) -> AsyncIterator[Any]:
    channel = Channel(f"unix:{socket}", clock=SystemClock())
    started: list[Watching] = []

    def start() -> Watching:
        started.append(Watching(api, channel))
        return started[-1]

    yield start
    for each in started:
        each.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, grpc.RpcError):
            await each.task
    await channel.close()


@pytest.mark.parametrize("line", COMMANDS)
def test_WEP_04_every_call_has_the_security_header(
    socket: Path, api: FakeWorkloadApi, line: str
) -> None:
    outcome = run(socket, line)
    assert outcome.code == 0, outcome.err
    assert api.requests


async def test_WEP_04_a_watch_has_the_security_header(watching: Any) -> None:
    await watching().messages(1)


@pytest.mark.parametrize("line", [*COMMANDS, "healthcheck"])
def test_WEP_09_the_environment_says_where_the_endpoint_is(socket: Path, line: str) -> None:
    assert run(socket, line).code == 0


def test_WEP_09_what_is_said_explicitly_comes_first(socket: Path) -> None:
    env = {"SPIFFE_ENDPOINT_SOCKET": "unix:///no/such"}
    assert invoke(PROGRAM, "api", "fetch", "-socketPath", str(socket), env=env).code == 0
    env["SPIRE_AGENT_PUBLIC_SOCKET"] = str(socket)
    assert invoke(PROGRAM, "api", "fetch", env=env).code == 0


def test_WEP_09_without_any_word_it_is_where_agents_listen_by_default() -> None:
    assert (
        WORKLOAD_SOCKET.target(parse(SOCKET_FLAGS, []), {})
        == "unix:/tmp/spire-agent/public/api.sock"
    )


def refused(address: str) -> str:
    outcome = invoke(PROGRAM, "api", "fetch", env={"SPIFFE_ENDPOINT_SOCKET": address})
    assert (outcome.code, outcome.out) == (1, "")
    return outcome.err


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8000", "/run/agent.sock", "agent.sock", "unixx:///a", ":", "//a"]
)
def test_WEP_10_an_address_of_another_scheme_is_refused(address: str) -> None:
    assert refused(address) == "SPIFFE_ENDPOINT_SOCKET must begin with unix: or tcp:\n"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("unix:///tmp/a.sock", "unix:/tmp/a.sock"),
        ("unix:/tmp/a.sock", "unix:/tmp/a.sock"),
        ("unix:///tmp/a%20b.sock", "unix:/tmp/a b.sock"),
    ],
)
def test_WEP_11_a_unix_address_is_an_absolute_path(address: str, target: str) -> None:
    assert endpoint.target(address) == target


@pytest.mark.parametrize(
    "rest",
    [
        *("", "x", "x/y", "//", "//x", "//x/y", "//user@/x", "//user@host/x", "//:1/x"),
        *("///x?q", "///x#f", "///x?", "///x#", "///x%00"),
    ],
)
def test_WEP_11_a_unix_address_has_nothing_else(rest: str) -> None:
    assert refused(f"unix:{rest}").startswith("SPIFFE_ENDPOINT_SOCKET must be an absolute path")


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("tcp://127.0.0.1:8000", "127.0.0.1:8000"),
        ("tcp://[::1]:80", "[::1]:80"),
        ("tcp://10.0.0.1:65535", "10.0.0.1:65535"),
    ],
)
def test_WEP_12_a_tcp_address_is_an_ip_address_and_a_port(address: str, target: str) -> None:
    assert endpoint.target(address) == target


@pytest.mark.parametrize(
    "rest",
    [
        *("", "x", "//", "//host:1", "//localhost:80", "//1.2.3.4", "//1.2.3.4:", "//:80"),
        *("//1.2.3.4:80/", "//1.2.3.4:80/p", "//1.2.3.4:80?q", "//1.2.3.4:80#f"),
        *("//u@1.2.3.4:80", "//u:p@1.2.3.4:80", "//1.2.3.4:0", "//1.2.3.4:65536", "//1.2.3.4:+1"),
        *("//::1:80", "//[::1]", "//[1.2.3.4]:80", "//1.2.3:80", "//1.2.3.456:80", "1.2.3.4:80"),
    ],
)
def test_WEP_12_a_tcp_address_has_nothing_else(rest: str) -> None:
    assert refused(f"tcp:{rest}").startswith("SPIFFE_ENDPOINT_SOCKET must be an IP address")


def test_WEP_12_an_endpoint_on_tcp_is_called(api: FakeWorkloadApi) -> None:
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        api.add_to(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        env = {"SPIFFE_ENDPOINT_SOCKET": f"tcp://127.0.0.1:{port}"}
        outcome = invoke(PROGRAM, "api", "fetch", env=env)
        server.stop(grace=None).wait()
    assert outcome.code == 0, outcome.err


async def test_WEP_13_an_invalid_argument_is_not_tried_again(
    api: FakeWorkloadApi, watching: Any
) -> None:
    api.refusal = (CODES.INVALID_ARGUMENT, "no")
    watch = watching()
    assert not await watch.idle()
    assert isinstance(watch.task.exception(), grpc.RpcError)
    assert len(api.requests) == 1


async def test_WEP_17_and_WL_03_what_is_unimplemented_is_reported_and_not_tried_again(
    api: FakeWorkloadApi, watching: Any, socket: Path
) -> None:
    api.refusal = (CODES.UNIMPLEMENTED, "not here")
    watch = watching()
    assert not await watch.idle()
    assert len(api.requests) == 1
    told = "rpc error: code = Unimplemented desc = not here\n"
    assert await asyncio.to_thread(run, socket, "api watch") == Outcome(1, "", told)


@pytest.mark.parametrize("code", [CODES.UNAVAILABLE, CODES.PERMISSION_DENIED])
async def test_WEP_15_other_refusals_are_tried_again_with_growing_pauses(
    api: FakeWorkloadApi, watching: Any, code: grpc.StatusCode
) -> None:
    api.refusal = (code, "not now")
    watch = watching()
    for calls, pause in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0), 1):
        assert await watch.idle()
        assert len(api.requests) == calls
        await watch.clock.advance(pause - 0.1)
        assert watch.clock.sleepers, "it did not wait long enough"
        await watch.clock.advance(0.1)
    assert await watch.idle()


async def test_WEP_15_an_endpoint_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    api = FakeWorkloadApi()
    channel = Channel(f"unix:{tmp_path}/late.sock", clock=SystemClock())
    watch = Watching(api, channel)
    assert await watch.idle()
    with served(tmp_path / "late.sock", api.add_to):
        await watch.clock.advance(1.0)
        await watch.messages(1)
        watch.task.cancel()
        await asyncio.gather(watch.task, return_exceptions=True)
        await channel.close()


async def test_WEP_15_pauses_begin_anew_after_a_message(
    api: FakeWorkloadApi, watching: Any
) -> None:
    api.refusal = (CODES.UNAVAILABLE, "not now")
    watch = watching()
    for pause in (1.0, 2.0):
        assert await watch.idle()
        await watch.clock.advance(pause)
    assert await watch.idle()
    api.refusal = None
    await watch.clock.advance(4.0)
    await watch.messages(1)
    assert await watch.idle()
    await watch.clock.advance(1.0)
    await watch.messages(2)


async def test_WL_04_a_stream_stays_open_and_is_opened_again_at_once_when_it_ends(
    api: FakeWorkloadApi, watching: Any
) -> None:
    api.updates = 2
    api.lasting = first = threading.Event()
    watch = watching()
    await watch.messages(2)
    await watch.clock.advance(3600)
    assert len(api.requests) == 1
    api.lasting = threading.Event()
    first.set()
    await watch.messages(4)  # the clock stands still
    assert len(api.requests) == 2
    api.lasting.set()


def answer(*svids: pb.X509SVID, **federated: bytes) -> pb.X509SVIDResponse:
    bundles = {f"spiffe://{name}": der for name, der in federated.items()}
    return pb.X509SVIDResponse(svids=svids, federated_bundles=bundles)


def svid(api: FakeWorkloadApi, uri: str, **changes: Any) -> pb.X509SVID:
    issued = api.ca.issue(uri)
    fields = {
        "spiffe_id": uri,
        "x509_svid": b"".join(issued.chain),
        "x509_svid_key": issued.key_pkcs8,
        "bundle": api.ca.der,
    }
    return pb.X509SVID(**(fields | changes))


async def test_WL_08_what_a_new_message_has_not_is_not_shown_any_more(
    api: FakeWorkloadApi, watching: Any
) -> None:
    before = answer(svid(api, OLD), svid(api, NEW), other=api.other.der)
    api.answers["FetchX509SVID"] = [before, answer(svid(api, NEW))]
    first, second = (await watching().messages(2))[:2]
    assert OLD in first
    assert "spiffe://other" in first
    assert OLD not in second
    assert "spiffe://other" not in second
    assert NEW in second


@pytest.mark.parametrize("field", ["spiffe_id", "x509_svid", "x509_svid_key", "bundle"])
def test_WL_10_an_x509_svid_that_lacks_a_field_is_an_error(
    socket: Path, api: FakeWorkloadApi, field: str
) -> None:
    api.answers["FetchX509SVID"] = [answer(svid(api, NEW), svid(api, OLD, **{field: None}))]
    for line in ("api fetch x509", "api fetch x509 -output json"):
        outcome = run(socket, line)
        assert (outcome.code, outcome.out) == (1, "")
        assert f'without "{field}"' in outcome.err


@pytest.mark.parametrize(
    ("method", "message", "line"),
    [
        ("FetchX509SVID", pb.X509SVIDResponse(), "api fetch"),
        ("FetchJWTSVID", pb.JWTSVIDResponse(), "api fetch jwt -audience a"),
        ("FetchJWTBundles", pb.JWTBundlesResponse(), "api fetch jwt -audience a"),
        (
            "FetchJWTSVID",
            pb.JWTSVIDResponse(svids=[pb.JWTSVID(spiffe_id=NEW)]),
            "api fetch jwt -audience a",
        ),
        (
            "FetchJWTSVID",
            pb.JWTSVIDResponse(svids=[pb.JWTSVID(svid="a.b.c")]),
            "api fetch jwt -audience a",
        ),
        (
            "ValidateJWTSVID",
            pb.ValidateJWTSVIDResponse(spiffe_id=NEW),
            "api validate jwt -audience a -svid a.b.c",
        ),
        (
            "ValidateJWTSVID",
            pb.ValidateJWTSVIDResponse(claims=Struct()),
            "api validate jwt -audience a -svid a.b.c",
        ),
    ],
)
def test_WL_10_an_answer_that_lacks_a_field_is_an_error(
    socket: Path, api: FakeWorkloadApi, method: str, message: Any, line: str
) -> None:
    api.answers[method] = [message]
    outcome = run(socket, line)
    assert (outcome.code, outcome.out) == (1, "")
    assert "which is of no use" in outcome.err


async def test_WL_10_a_watch_passes_over_such_a_message(
    api: FakeWorkloadApi, watching: Any
) -> None:
    api.answers["FetchX509SVID"] = [pb.X509SVIDResponse(), answer(svid(api, NEW))]
    watch = watching()
    (message,) = (await watch.messages(1))[:1]
    assert NEW in message
    assert "which is of no use" in watch.err.getvalue()


def test_WL_16_of_svids_with_the_same_hint_the_first_counts(
    socket: Path, api: FakeWorkloadApi
) -> None:
    api.ids = [(NEW, "db"), (OLD, "db"), (NEW, ""), (OLD, "")]
    for line, key in (("api fetch x509", "svids"), ("api fetch jwt -audience a", "svids")):
        shown = run(socket, f"{line} -output json").json
        svids = shown[key] if isinstance(shown, dict) else shown[0][key]
        assert [(each["spiffe_id"], each["hint"]) for each in svids] == [
            (NEW, "db"),
            (NEW, ""),
            (OLD, ""),
        ]


def test_WL_32_tokens_are_judged_by_the_endpoint(socket: Path, api: FakeWorkloadApi) -> None:
    assert run(socket, "api validate jwt -audience a -svid a.b.c").code == 0
    assert api.requests == [pb.ValidateJWTSVIDRequest(audience="a", svid="a.b.c")]
    outcome = run(socket, "api validate jwt -audience a -svid x.y.z")
    assert (outcome.code, outcome.err) == (1, "SVID is not valid: token has expired\n")
