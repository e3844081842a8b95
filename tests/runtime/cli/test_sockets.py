import pytest

from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import parse
from finial.runtime.cli.sockets import Endpoint, Socket

SOCKET = Socket(
    "/default",
    "PLACE",
    "PLACE_TEMPLATE",
    "define PLACE_TEMPLATE first",
    "start it",
    Endpoint("ADDRESS", lambda address: f"target of {address}"),
)
FLAGS = SOCKET.flags("test")


@pytest.mark.parametrize(
    ("arguments", "env", "target"),
    [
        ([], {}, "unix:/default"),
        ([], {"PLACE": "/env"}, "unix:/env"),
        ([], {"PLACE": ""}, "unix:/default"),
        (["-socketPath", "/flag"], {"PLACE": "/env"}, "unix:/flag"),
        (["-socketPath", "/default"], {"PLACE": "/env"}, "unix:/env"),
        ([], {"ADDRESS": "a"}, "target of a"),
        ([], {"ADDRESS": ""}, "unix:/default"),
        ([], {"ADDRESS": "a", "PLACE": "/env"}, "unix:/env"),
        (["-socketPath", "/flag"], {"ADDRESS": "a"}, "unix:/flag"),
        (["-instance", "i"], {"ADDRESS": "a", "PLACE_TEMPLATE": "/x/%i"}, "unix:/x/i"),
        (["-instance", "i"], {"PLACE": "/env", "PLACE_TEMPLATE": "/x/%i/y"}, "unix:/x/i/y"),
        (["-instance", "i", "-socketPath", "/flag"], {"PLACE_TEMPLATE": "/x/%i"}, "unix:/flag"),
    ],
)
def test_the_socket_is_the_flags_then_the_instances_then_the_variables_then_the_endpoints(
    arguments: list[str], env: dict[str, str], target: str
) -> None:
    assert SOCKET.target(parse(FLAGS, arguments), env) == target


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ({}, "define PLACE_TEMPLATE first"),
        ({"PLACE_TEMPLATE": "/x/y"}, "failed to find %i in PLACE_TEMPLATE"),
    ],
)
def test_an_instance_needs_a_template_with_a_place_for_it(
    env: dict[str, str], complaint: str
) -> None:
    with pytest.raises(FailureError, match=complaint):
        SOCKET.target(parse(FLAGS, ["-instance", "i"]), env)
