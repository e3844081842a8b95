import os
import socket
import stat
import tomllib
from pathlib import Path

import pytest

from finial.agent.config import load_agent_config
from finial.cli.up.child import tail
from finial.cli.up.place import Place, node_id, place_at, prepare, segment, user_id
from finial.cli.up.port import free_port
from finial.cli.up.settings import LOOPBACK, agent_file, server_file
from finial.cli.up.state import State, load
from finial.runtime.cli.failure import FailureError
from finial.runtime.durable import DamagedFileError, DurableError
from finial.server.config import load_server_config
from finial.spiffe import TrustDomain

TD = TrustDomain("example.org")


# -- where things lie --------------------------------------------------------------------


def test_sockets_lie_in_the_folder_while_their_paths_are_short() -> None:
    place = place_at(Path("/srv/x"), Path("/run"))
    assert place.server_socket == Path("/srv/x/server.sock")
    assert not place.sockets_moved


def test_sockets_move_when_their_paths_would_be_too_long_for_the_kernel() -> None:
    place = place_at(Path("/" + "a" * 100), Path("/run"))
    assert place.sockets_moved
    assert place.agent_socket.parent.parent == Path("/run")
    assert len(str(place.server_socket)) <= 100
    assert place == place_at(Path("/" + "a" * 100), Path("/run"))
    assert place.sockets != place_at(Path("/" + "b" * 100), Path("/run")).sockets


def test_folders_are_this_users_alone(tmp_path: Path) -> None:
    place = Place(tmp_path / "up", tmp_path / "sockets")
    prepare(place)
    for folder in (place.folder, place.sockets, place.server_data, place.agent_data):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_moved_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path / "up", tmp_path / "sockets")
    place.sockets.mkdir(mode=0o755)
    with pytest.raises(DurableError, match="is not this user's alone"):
        prepare(place)


def test_a_moved_socket_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "sockets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DurableError, match="is not this user's alone"):
        prepare(Place(tmp_path / "up", tmp_path / "sockets"))


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("alice", "alice"),
        ("DOM\\bob c", "DOM-bob-c"),
        ("é", "-"),
        ("..", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_names_become_path_segments(name: str, clean: str) -> None:
    assert segment(name) == clean
    assert user_id(TD, name).path == f"/user/{clean}"


def test_the_nodes_alias_is_of_this_machine() -> None:
    assert node_id(TD).path.startswith("/node/")


# -- what is remembered ------------------------------------------------------------------


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    state = State("b.org", 7, "spiffe://b.org/spire/agent/join_token/x")
    state.save(tmp_path / "up.json")
    assert load(tmp_path / "up.json", "") == state
    assert load(tmp_path / "up.json", "spiffe://b.org") == state


def test_a_new_folder_is_of_example_org_unless_told_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path / "up.json", "") == State("example.org")
    assert load(tmp_path / "up.json", "b.org") == State("b.org")


def test_a_folder_keeps_its_trust_domain(tmp_path: Path) -> None:
    State("b.org").save(tmp_path / "up.json")
    with pytest.raises(FailureError, match=r"is of trust domain b.org: leave -trust-domain out"):
        load(tmp_path / "up.json", "c.org")


def test_a_malformed_trust_domain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailureError, match='cannot use trust domain "B!"'):
        load(tmp_path / "up.json", "B!")


@pytest.mark.parametrize(
    "content",
    [
        '{"what": 1}',
        '{"trust_domain": 7}',
        '{"trust_domain": "B!"}',
        '{"trust_domain": "b.org", "port": "x"}',
        '{"trust_domain": "b.org", "port": null}',
        '{"trust_domain": "b.org", "agent": "x"}',
        '{"trust_domain": "b.org", "agent": 7}',
    ],
)
def test_a_state_that_is_none_of_ours_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "up.json").write_text(content)
    with pytest.raises(FailureError, match="is not what `finial up` wrote"):
        load(tmp_path / "up.json", "")


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "up.json").write_bytes(b"\0\0")
    with pytest.raises(DamagedFileError):
        load(tmp_path / "up.json", "")


# -- what the two are told ---------------------------------------------------------------


def test_both_files_are_valid_configuration(tmp_path: Path) -> None:
    place = Place(tmp_path / 'a"b\\c é', tmp_path / "s")
    prepare(place)
    place.config("server").write_text(server_file(place, TD, 8081))
    server = load_server_config(place.config("server"))
    assert server.server.bind_port == 8081
    assert server.server.data_dir == place.server_data
    assert server.warnings == ()
    place.join_token.write_text("the-token")
    place.config("agent").write_text(agent_file(place, TD, 8081, joins=True))
    agent = load_agent_config(place.config("agent"))
    assert agent.agent.socket_path == place.agent_socket
    assert agent.warnings == ()


def test_what_is_off_by_itself_is_on_in_a_pair_that_nobody_federates_with(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    place.config("server").write_text(server_file(place, TD, 8081))
    place.config("agent").write_text(agent_file(place, TD, 8081, joins=False))
    assert load_server_config(place.config("server")).server.experimental.wit_enabled
    assert load_agent_config(place.config("agent")).agent.experimental.wit_enabled


def test_the_join_token_is_in_no_configuration_file(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    joining = tomllib.loads(agent_file(place, TD, 1, joins=True))["agent"]
    assert joining["join_token_file"] == str(place.join_token)
    assert "join_token" not in joining
    assert "join_token_file" not in tomllib.loads(agent_file(place, TD, 1, joins=False))["agent"]


# -- ports and logs ----------------------------------------------------------------------


def test_a_port_that_is_taken_is_refused_when_asked_for_and_avoided_when_not() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(FailureError, match=f"port {port} is taken or not to be had: name"):
            free_port(port, 0)
        assert free_port(0, port) not in {0, port}
    assert free_port(port, 0) == port
    assert free_port(0, port) == port


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(FailureError, match="is no port"):
        free_port(port, 0)


def test_the_tail_of_a_log_is_indented_and_an_empty_one_said_to_be(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(str(i) for i in range(20)))
    assert tail(log).splitlines()[0] == "  5"
    log.write_text("")
    assert tail(log) == "  (it is empty)"
    assert os.fspath(tmp_path / "no") in tail(tmp_path / "no")
