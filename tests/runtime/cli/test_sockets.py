import pytest

from finial.runtime.cli.failure import FailureError
from finial.runtime.cli.flags import parse
from finial.runtime.cli.sockets import Socket

SOCKET = Socket("/default", "PLACE", "PLACE_TEMPLATE", "define PLACE_TEMPLATE first", "start it")
FLAGS = SOCKET.flags("test")


@pytest.mark.parametrize(
    ("arguments", "env", "path"),
    [
        ([], {}, "/default"),
        ([], {"PLACE": "/env"}, "/env"),
        ([], {"PLACE": ""}, "/default"),
        (["-socketPath", "/flag"], {"PLACE": "/env"}, "/flag"),
        (["-socketPath", "/default"], {"PLACE": "/env"}, "/env"),
        (["-instance", "i"], {"PLACE": "/env", "PLACE_TEMPLATE": "/x/%i/y"}, "/x/i/y"),
        (["-instance", "i", "-socketPath", "/flag"], {"PLACE_TEMPLATE": "/x/%i"}, "/flag"),
    ],
)
def test_the_socket_is_the_flags_then_the_instances_then_the_variables(
    arguments: list[str], env: dict[str, str], path: str
) -> None:
    assert SOCKET.path(parse(FLAGS, arguments), env) == path


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
        SOCKET.path(parse(FLAGS, ["-instance", "i"]), env)
