"""What `finial up` shows: plain lines in a pipe, a panel to a person."""

import shlex

from finial.cli.up.session import Session
from finial.runtime.cli.console import Console
from finial.runtime.cli.output import json_line
from finial.runtime.cli.times import local_time, rfc3339
from finial.spiffe import certificate
from finial.spiffe.x509_svid.der import split_certificates


def facts(session: Session) -> dict[str, str]:
    """What a script wants to know."""
    place = session.place
    return {
        "spiffe_id": session.svid.spiffe_id,
        "expires_at": rfc3339(expiry(session)),
        "workload_api": f"unix://{place.agent_socket}",
        "server_socket": str(place.server_socket),
        "agent_socket": str(place.agent_socket),
        "dir": str(place.folder),
    }


def expiry(session: Session) -> float:
    """When the identity shown ends, in Unix seconds; the agent will have renewed it by then."""
    leaf = split_certificates(session.svid.x509_svid)[0]
    return certificate.load(leaf).not_valid_after_utc.timestamp()


def lines(session: Session) -> list[tuple[str, str]]:
    """The identity and where to find what."""
    place = session.place
    return [
        ("SPIFFE ID", session.svid.spiffe_id),
        ("Valid until", f"{local_time(expiry(session))} (and renewed before)"),
        ("Workload API", f"unix://{place.agent_socket}"),
        ("Admin API", f"unix://{place.server_socket}"),
        ("Logs", f"{place.log('server')}, {place.log('agent')}"),
    ]


def next_steps(session: Session) -> list[str]:
    """Commands for another shell."""
    server, agent = (
        shlex.quote(str(path)) for path in (session.place.server_socket, session.place.agent_socket)
    )
    return [
        f"export SPIFFE_ENDPOINT_SOCKET=unix://{agent}",
        f"finial agent api fetch x509 -socketPath {agent}",
        f"finial agent api fetch jwt -audience test -socketPath {agent}",
        f"finial server entry show -socketPath {server}",
    ]


def show(console: Console, session: Session, *, stays: bool) -> None:
    """Print the identity and, when it stays up, what to try."""
    if console.is_terminal:
        _show_panel(console, session)
    else:
        width = max(len(label) for label, _ in lines(session))
        for label, value in lines(session):
            console.show(f"{label:<{width}} : {value}")
    if stays:
        console.show("\nTry in another shell:")
        for step in next_steps(session):
            console.show(f"  {step}")
        console.show("\nCtrl-C stops both; `finial up` here goes on where they were.")
    console.stdout.flush()


def show_json(console: Console, session: Session) -> None:
    """Print the facts as one line."""
    console.show(json_line(facts(session)))
    console.stdout.flush()


def _show_panel(console: Console, session: Session) -> None:
    from rich.console import Console as Terminal  # noqa: PLC0415 - a pipe must not pay for it
    from rich.panel import Panel  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415 - paths may hold what rich takes for markup

    table = Table.grid(padding=(0, 2))
    for label, value in lines(session):
        bold = "bold" if label == "SPIFFE ID" else ""
        table.add_row(Text(label, style="dim"), Text(value, style=bold, overflow="fold"))
    Terminal(file=console.stdout).print(
        Panel.fit(table, title="finial is up", border_style="green")
    )
