import io
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from finial.api.workload.workload_pb2 import X509SVID
from finial.cli.up.place import Place
from finial.cli.up.report import show, show_json
from finial.cli.up.session import Session
from finial.runtime.cli.console import Console
from tests.fakes.ca import FakeCa


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def running() -> Session:
    svid = FakeCa().issue("spiffe://example.org/user/me")
    message = X509SVID(spiffe_id=svid.id.uri, x509_svid=b"".join(svid.chain))
    place = Place(Path("/srv/it's [bold]"), Path("/srv/it's [bold]"))
    return cast("Session", SimpleNamespace(place=place, svid=message))


def test_a_pipe_gets_plain_lines(running: Session) -> None:
    out = io.StringIO()
    show(Console(stdout=out), running, stays=False)
    first, *rest = out.getvalue().splitlines()
    assert first == "SPIFFE ID    : spiffe://example.org/user/me"
    assert [line.index(" : ") for line in rest] == [12] * 4
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_a_panel_with_the_paths_as_they_are(running: Session) -> None:
    out = Terminal()
    show(Console(stdout=out), running, stays=False)
    assert "finial is up" in out.getvalue()
    assert "/srv/it's [bold]/agent.sock" in out.getvalue()


def test_while_it_stays_the_next_steps_are_shown_quoted_for_a_shell(running: Session) -> None:
    out = io.StringIO()
    show(Console(stdout=out), running, stays=True)
    quoted = """'/srv/it'"'"'s [bold]/agent.sock'"""
    assert f"  export SPIFFE_ENDPOINT_SOCKET=unix://{quoted}\n" in out.getvalue()
    assert f"  finial agent api fetch x509 -socketPath {quoted}\n" in out.getvalue()
    assert "\nCtrl-C stops both" in out.getvalue()


def test_json_has_the_facts_in_one_line(running: Session) -> None:
    out = io.StringIO()
    show_json(Console(stdout=out), running)
    assert out.getvalue().count("\n") == 1
    assert '"spiffe_id":"spiffe://example.org/user/me"' in out.getvalue()
