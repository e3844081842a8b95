"""docs/authorization.md: `python -m tests.server.api.authorization_doc` writes it anew."""

from pathlib import Path

from finial.agent.endpoints import authorization as agents
from finial.server.api.authorization import render_markdown

FILE = Path(__file__).parents[3] / "docs" / "authorization.md"

_HEAD = """\
# Who may call what

Written by `python -m tests.server.api.authorization_doc` from the tables in
`server/finial/server/api/authorization.py` and `agent/finial/agent/endpoints/authorization.py`, by
which the programs decide. Not to be edited.

## The server

| Kind | Who |
|---|---|
| any | everybody, with or without a certificate |
| local | a process on the server's machine, on the admin socket |
| admin | an X509-SVID that `admin_ids` lists, or that an entry with `admin` names |
| downstream | an X509-SVID that an entry with `downstream` names |
| agent | an X509-SVID of an agent that is attested, not banned, not expired: its newest or next |

A caller is judged on each call and not once a connection. What is not open to it ends with
PermissionDenied; a method that is not in the table is open to nobody.
`tests/server/api/test_every_method_walk.py` tries each method with each kind of caller.

"""


_AGENT = """
## The agent

| Kind | Who |
|---|---|
| any | who can open the socket: its folder's and its own mode decide on that |
| workload | who sets the Workload API's security header; it is attested, and has its own |
| delegate | one of whose attested identities is among `authorized_delegates` |

| Socket | Method | Kind |
|---|---|---|
"""


def document() -> str:
    """The whole file."""
    rows = (
        f"| {socket.value} | `{method}` | {kind.value} |\n"
        for socket, methods in agents.TABLE.items()
        for method, kind in methods.items()
    )
    return _HEAD + render_markdown() + _AGENT + "".join(rows)


if __name__ == "__main__":
    FILE.write_text(document())
